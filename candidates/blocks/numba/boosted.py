# block: boosted
# kind: helper
@njit
def _boosted(items, packs, loads, boost):
    """The items of each row in descending order, where those of the heaviest pack count as heavier by `boost`."""
    rows, count = items.shape
    rows, num_packs, size = packs.shape
    moved = np.empty((rows, count))
    keys = np.empty(count)
    for row in range(rows):
        heavy = 0
        for pack in range(num_packs):
            heavy = pack if loads[row, pack] > loads[row, heavy] else heavy
        for item in range(count):
            key = items[row, item]
            for rank in range(size):
                if packs[row, heavy, rank] == items[row, item]:
                    key *= 1.0 + boost
            place = item
            while place > 0 and keys[place - 1] < key:
                keys[place] = keys[place - 1]
                moved[row, place] = moved[row, place - 1]
                place -= 1
            keys[place] = key
            moved[row, place] = items[row, item]
    return moved
