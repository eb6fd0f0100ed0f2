# block: refine_opposite
# kind: refine
# needs: most
# says: {steps} steps of swaps between the heavier half of the packs and the lighter, in rows that are {tolerance} above the bound
# steps: 1 2 3 4 6
# tolerance: 0.0002 0.0003 0.0004 0.0005 0.0006 0.0008 0.001 0.002
@njit(error_model="numpy")
def _refine_opposite(packs, loads, bound, steps, tolerance):
    """Swap one item between each of the heavier packs and its opposite among the lighter, all pairs in one step.

    From step to step the opposites move on by one, so that a pair without a good swap is not stuck with each other.
    The pairs of 16 rows are compared at once, in whole units of the load, so that this becomes vector instructions.
    """
    rows, num_packs, size = packs.shape
    pairs, width = num_packs // 2, 16
    low = tags = 0  # Bits that number the swaps of a pair, and the packs.
    while low + 1 < size * size:
        low += low + 1
    while tags + 1 < num_packs:
        tags += tags + 1
    heavy, light = np.zeros((size, width * pairs), np.int32), np.zeros((size, width * pairs), np.int32)
    half, best = np.zeros((1, width * pairs), np.int32), np.zeros((1, width * pairs), np.int32)
    keys, sorted_packs = np.zeros((1, num_packs), np.int32), np.zeros((width, num_packs), np.int32)
    which = np.zeros((1, width), np.int32)
    for first in range(0, rows, width):
        for step in range(steps):
            unfinished = 0
            for row in range(first, min(first + width, rows)):
                most = _most(loads, row)
                if most > bound[row] * (1 + tolerance):
                    which[0, unfinished] = row
                    unit = 2.0**29 / most
                    for pack in range(num_packs):
                        keys[0, pack] = np.int32(loads[row, pack] * unit) & ~tags | pack
                    for pack in range(num_packs):
                        rank = np.int32(0)
                        for other in range(num_packs):
                            rank += np.int32(keys[0, other] < keys[0, pack])
                        sorted_packs[unfinished, rank] = pack
                    for pair in range(pairs):
                        at = unfinished * pairs + pair
                        pack = sorted_packs[unfinished, num_packs - 1 - pair]
                        other = sorted_packs[unfinished, (pair + step) % pairs]
                        half[0, at] = (loads[row, pack] - loads[row, other]) * unit * 0.5
                        for rank in range(size):
                            heavy[rank, at] = packs[row, pack, rank] * unit
                            light[rank, at] = packs[row, other, rank] * unit
                    unfinished += 1
            if unfinished == 0:
                break
            for at in range(unfinished * pairs):
                best[0, at] = 2**31 - 1
            for rank in range(size):
                for other in range(size):
                    swap = np.int32(rank * size + other)
                    for at in range(unfinished * pairs):
                        off = np.int32(heavy[rank, at] - light[other, at] - half[0, at])
                        best[0, at] = min(best[0, at], np.int32(max(off, np.int32(-off)) & ~low | swap))
            for number in range(unfinished):
                row = which[0, number]
                for pair in range(pairs):
                    swap = best[0, number * pairs + pair] & low
                    pack = sorted_packs[number, num_packs - 1 - pair]
                    other = sorted_packs[number, (pair + step) % pairs]
                    rank, other_rank = swap // size, swap % size
                    one, two = packs[row, pack, rank], packs[row, other, other_rank]
                    if two < one and one - two < loads[row, pack] - loads[row, other]:
                        packs[row, pack, rank], packs[row, other, other_rank] = two, one
                        loads[row, pack] -= one - two
                        loads[row, other] += one - two
