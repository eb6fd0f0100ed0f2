# block: select_lowest
# kind: select
# says: the packing with the lighter heaviest pack, row by row
def _select_lowest(packs, loads, others, other_loads):
    """Keep the packing with the lighter heaviest pack, row by row; changes the first packing in place."""
    size, (rows, num_packs) = len(packs), loads.shape
    better = np.flatnonzero(other_loads.max(1) < loads.max(1))
    packs.reshape(size, rows, num_packs)[:, better] = others.reshape(size, rows, num_packs)[:, better]
    loads[better] = other_loads[better]
