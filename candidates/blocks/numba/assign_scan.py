# block: assign_scan
# kind: assign
# says: one item after the other to the least loaded pack with room, row by row
@njit
def _assign_scan(items, num_packs):
    """Give one item after the other to the least loaded pack with room, row by row, looking at all loads.

    Loads are added up without tags, so that packs of equal weights are equally heavy.
    """
    rows, count = items.shape
    size = count // num_packs
    packs, loads = np.empty((rows, num_packs, size)), np.zeros((rows, num_packs))
    filled = np.empty(num_packs, np.int64)
    for row in range(rows):
        for pack in range(num_packs):
            filled[pack] = 0
        for item in range(count):
            best, least = 0, np.inf
            for pack in range(num_packs):
                if filled[pack] < size and loads[row, pack] < least:
                    best, least = pack, loads[row, pack]
            packs[row, best, filled[best]] = items[row, item]
            loads[row, best] = least + np.float32(items[row, item])
            filled[best] += 1
    return packs, loads
