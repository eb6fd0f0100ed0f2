# block: pair_sums
# kind: helper
@njit
def _pair_sums(packs, row, pack, unit, sums):
    """Write the sums of any two items of a pack, in units: of items 1 and 0, 2 and 0, 2 and 1, 3 and 0, ...

    sums: int32 [1, size * (size - 1) / 2].
    """
    at = 0
    for rank in range(packs.shape[2]):
        for other in range(rank):
            sums[0, at] = (packs[row, pack, rank] + packs[row, pack, other]) * unit
            at += 1
