# block: write_places
# kind: helper
@njit
def _write_places(packs, pack_index, rank_in_pack):
    """Write the pack and the rank of each item, whose number is in the low bits of `packs`, counted from the last."""
    rows, num_packs, size = packs.shape
    numbers = packs.view(np.int64)
    last = num_packs * size - 1
    for row in range(rows):
        for pack in range(num_packs):
            for rank in range(size):
                item = last - min(numbers[row, pack, rank] & 2**29 - 1, last)
                pack_index[row, item] = pack
                rank_in_pack[row, item] = rank
