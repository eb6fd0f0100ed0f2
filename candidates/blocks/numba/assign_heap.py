# block: assign_heap
# kind: assign
# says: one item after the other to the least loaded pack with room, from a heap of the packs
@njit
def _assign_heap(items, num_packs):
    """Give one item after the other to the least loaded pack with room, from a heap of the packs with room.

    Loads are added up without tags, so that packs of equal weights are equally heavy; of those the first is on top.
    """
    rows, count = items.shape
    size = count // num_packs
    packs, loads = np.empty((rows, num_packs, size)), np.zeros((rows, num_packs))
    heap, filled = np.empty(num_packs, np.int64), np.empty(num_packs, np.int64)
    for row in range(rows):
        for pack in range(num_packs):
            heap[pack], filled[pack] = pack, 0
        length = num_packs
        for item in range(count):
            pack = heap[0]
            packs[row, pack, filled[pack]] = items[row, item]
            loads[row, pack] += np.float32(items[row, item])
            filled[pack] += 1
            if filled[pack] == size:
                length -= 1
                pack = heap[length]
            load, place, child = loads[row, pack], 0, 1
            while child < length:
                if child + 1 < length:
                    one, two = heap[child], heap[child + 1]
                    if loads[row, two] < loads[row, one] or loads[row, two] == loads[row, one] and two < one:
                        child += 1
                one = heap[child]
                if loads[row, one] > load or loads[row, one] == load and one > pack:
                    break
                heap[place], place = one, child
                child = 2 * place + 1
            heap[place] = pack
    return packs, loads
