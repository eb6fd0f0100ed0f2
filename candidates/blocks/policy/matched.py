# block: matched
# kind: helper
@njit
def _matched(shared):
    """Which part each part of a row is matched with, int64 [X, parts]: the pair that shares the most first."""
    rows, parts = shared.shape[:2]
    names, taken = np.full((rows, parts), -1), np.zeros((rows, parts), np.bool_)
    for row in range(rows):
        for _ in range(parts):
            most, one, other = -1, -1, -1
            for ours in range(parts):
                for theirs in range(parts):
                    if names[row, ours] < 0 and not taken[row, theirs] and shared[row, ours, theirs] > most:
                        most, one, other = shared[row, ours, theirs], ours, theirs
            names[row, one] = other
            taken[row, other] = True
    return names
