# block: select_lowest
# kind: select
# says: the packing with the lighter heaviest pack, row by row
@njit
def _select_lowest(packs, loads, others, other_loads):
    """Keep the packing with the lighter heaviest pack, row by row; changes the first packing in place."""
    rows, num_packs, size = packs.shape
    for row in range(rows):
        most = other_most = 0.0
        for pack in range(num_packs):
            most = max(most, loads[row, pack])
            other_most = max(other_most, other_loads[row, pack])
        if other_most < most:
            for pack in range(num_packs):
                loads[row, pack] = other_loads[row, pack]
                for rank in range(size):
                    packs[row, pack, rank] = others[row, pack, rank]
