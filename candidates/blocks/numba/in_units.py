# block: in_units
# kind: helper
@njit
def _in_units(packs, row, unit, items, rest, sums):
    """A row in whole units, `unit` of them to a load of 1: a vector holds twice as many int32 as float64.

    Writes the `items` of the packs, [packs * size], the `rest` of each item's pack without it, and the packs' `sums`.
    """
    rows, num_packs, size = packs.shape
    for pack in range(num_packs):
        total = np.int32(0)
        for rank in range(size):
            item = np.int32(packs[row, pack, rank] * unit)
            items[pack * size + rank] = item
            total += item
        sums[pack] = total
        for place in range(pack * size, pack * size + size):
            rest[place] = total - items[place]
