# block: by_weight
# kind: helper
@njit
def _by_weight(packs, row, pack):
    """Sort the items of a pack, heaviest first; fast if they nearly are."""
    for rank in range(1, packs.shape[2]):
        item, place = packs[row, pack, rank], rank
        while place > 0 and packs[row, pack, place - 1] < item:
            packs[row, pack, place] = packs[row, pack, place - 1]
            place -= 1
        packs[row, pack, place] = item
