# block: overlap
# kind: helper
@njit
def _overlap(ours, theirs, parts, experts):
    """How many replicas each part of a row of `ours` shares with each part of that row of `theirs`, of as many equal parts:
    int64 [X, parts, parts]."""
    rows, count = ours.shape
    size, left = count // parts, np.zeros(experts, np.int64)
    shared = np.zeros((rows, parts, parts), np.int64)
    for row in range(rows):
        for one in range(parts):
            for other in range(parts):
                for slot in range(one * size, one * size + size):
                    left[ours[row, slot]] += 1
                for slot in range(other * size, other * size + size):
                    if left[theirs[row, slot]] > 0:
                        left[theirs[row, slot]] -= 1
                        shared[row, one, other] += 1
                for slot in range(one * size, one * size + size):
                    left[ours[row, slot]] = 0
    return shared
