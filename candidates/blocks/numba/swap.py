# block: swap
# kind: helper
@njit(error_model="numpy")
def _swap(packs, loads, row, place, other, items, rest, sums):
    """Swap two items of a row, given by their places in `items`, there and in `packs` and `loads`."""
    size = packs.shape[2]
    pack, other_pack = place // size, other // size
    rank, other_rank = place - pack * size, other - other_pack * size
    one, two = packs[row, pack, rank], packs[row, other_pack, other_rank]
    packs[row, pack, rank], packs[row, other_pack, other_rank] = two, one
    loads[row, pack] -= one - two
    loads[row, other_pack] += one - two
    items[place], items[other] = items[other], items[place]
    moved = np.int32(items[other] - items[place])
    sums[pack] -= moved
    sums[other_pack] += moved
    for rank in range(size):
        place, other = pack * size + rank, other_pack * size + rank
        rest[place] = sums[pack] - items[place]
        rest[other] = sums[other_pack] - items[other]
