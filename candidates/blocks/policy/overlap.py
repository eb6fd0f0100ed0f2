# block: overlap
# kind: helper
@njit
def _overlap(ours, theirs, parts, experts):
    """How many replicas each part of a row of `ours` shares with each part of that row of `theirs`, of as many equal parts:
    int64 [X, parts, parts]. Of an expert, two parts share as many replicas as the one has that has fewer."""
    rows, count = ours.shape
    size, held = count // parts, np.zeros(experts, np.int64)
    shared = np.zeros((rows, parts, parts), np.int64)
    # Of each slot of `theirs`: how many replicas of its expert its part has before it, and the next slot of the expert.
    before, first, following = np.empty(count, np.int64), np.empty(experts, np.int64), np.empty(count, np.int64)
    for row in range(rows):
        first[:] = -1
        for start in range(0, count, size):
            for slot in range(start, start + size):
                expert = theirs[row, slot]
                before[slot], following[slot] = held[expert], first[expert]
                first[expert] = slot
                held[expert] += 1
            for slot in range(start, start + size):
                held[theirs[row, slot]] = 0
        for start in range(0, count, size):
            for slot in range(start, start + size):
                expert = ours[row, slot]
                other = first[expert]
                while other >= 0:
                    if before[other] == held[expert]:
                        shared[row, start // size, other // size] += 1
                    other = following[other]
                held[expert] += 1
            for slot in range(start, start + size):
                held[ours[row, slot]] = 0
    return shared
