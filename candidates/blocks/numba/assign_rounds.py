# block: assign_rounds
# kind: assign
# says: a round of items to all packs, the first of them to the least loaded
@njit
def _assign_rounds(items, num_packs):
    """Give every pack an item in each round, the first to the least loaded pack."""
    rows, count = items.shape
    size = count // num_packs
    packs, loads = np.empty((rows, num_packs, size)), np.zeros((rows, num_packs))
    order = np.empty(num_packs, np.int64)
    for row in range(rows):
        for pack in range(num_packs):
            order[pack] = pack
        for rank in range(size):
            for pack in range(num_packs):
                item = items[row, rank * num_packs + pack]
                packs[row, order[pack], rank] = item
                loads[row, order[pack]] += np.float32(item)
            # Of equally heavy packs the one that came first stays first.
            for end in range(1, num_packs):
                pack, place = order[end], end
                while place > 0 and loads[row, order[place - 1]] > loads[row, pack]:
                    order[place] = order[place - 1]
                    place -= 1
                order[place] = pack
    return packs, loads
