# block: assigned
# kind: helper
@njit
def _assigned(shared):
    """Which part each part is matched with, int64, so that all pairs together share the most: the Hungarian method, by shortest
    paths that add one row after the other."""
    parts = len(shared)
    row_price, price = np.zeros(parts + 1, np.int64), np.zeros(parts + 1, np.int64)
    row_of, before = np.zeros(parts + 1, np.int64), np.zeros(parts + 1, np.int64)
    least, seen = np.empty(parts + 1, np.int64), np.empty(parts + 1, np.bool_)
    # Rows and columns count from 1; column 0 holds the row that is added.
    for row in range(1, parts + 1):
        row_of[0], column = row, 0
        least[:] = 2**40
        seen[:] = False
        while row_of[column] != 0:
            seen[column] = True
            here, step, following = row_of[column], 2**40, 0
            for other in range(1, parts + 1):
                if seen[other]:
                    continue
                cost = -shared[here - 1, other - 1] - row_price[here] - price[other]
                if cost < least[other]:
                    least[other], before[other] = cost, column
                if least[other] < step:
                    step, following = least[other], other
            for other in range(parts + 1):
                if seen[other]:
                    row_price[row_of[other]] += step
                    price[other] -= step
                else:
                    least[other] -= step
            column = following
        while column != 0:
            row_of[column] = row_of[before[column]]
            column = before[column]
    names = np.empty(parts, np.int64)
    for column in range(1, parts + 1):
        names[row_of[column] - 1] = column - 1
    return names
