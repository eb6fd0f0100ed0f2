# block: matched
# kind: helper
@njit
def _matched(shared):
    """Which part each part is matched with, int64: the pair that shares the most first."""
    parts = len(shared)
    names, taken = np.full(parts, -1), np.zeros(parts, np.bool_)
    for _ in range(parts):
        most, one, other = -1, -1, -1
        for row in range(parts):
            for column in range(parts):
                if names[row] < 0 and not taken[column] and shared[row, column] > most:
                    most, one, other = shared[row, column], row, column
        names[one] = other
        taken[other] = True
    return names
