# block: overlap
# kind: helper
@njit
def _overlap(ours, theirs, parts, left):
    """How many replicas each part of `ours` shares with each part of `theirs`, of as many equal parts: int64 [parts, parts].
    `left` holds 0 for each expert, before and after."""
    size = len(ours) // parts
    shared = np.zeros((parts, parts), np.int64)
    for one in range(parts):
        for other in range(parts):
            for slot in range(one * size, one * size + size):
                left[ours[slot]] += 1
            for slot in range(other * size, other * size + size):
                if left[theirs[slot]] > 0:
                    left[theirs[slot]] -= 1
                    shared[one, other] += 1
            for slot in range(one * size, one * size + size):
                left[ours[slot]] = 0
    return shared
