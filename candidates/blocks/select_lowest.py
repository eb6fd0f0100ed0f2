# block: select_lowest
# kind: select
# says: of each row the one with the lower heaviest pack
def _select_lowest(packs, loads, others, other_loads):
    """Of two packings keep, row by row, the one whose heaviest pack is lighter; the first is changed in place."""
    size, (rows, num_packs) = len(packs), loads.shape
    better = np.flatnonzero(other_loads.max(1) < loads.max(1))
    packs.reshape(size, rows, num_packs)[:, better] = others.reshape(size, rows, num_packs)[:, better]
    loads[better] = other_loads[better]
