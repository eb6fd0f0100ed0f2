# block: bound_giants
# kind: bound
# weight: 2
# says: the mean load, or what the heaviest items and the lightest beside them come to, on the average of any number
@njit
def _bound_giants(items, num_packs):
    """The mean load of the packs of the `n` heaviest items with the lightest items beside them, for the `n` with the
    highest; all packs are one case. Float64 [rows].

    Several heavy items compete for the same light ones, so this is often more than what the heaviest item alone needs.
    """
    rows, count = items.shape
    size = count // num_packs
    bound = np.zeros(rows)
    for row in range(rows):
        total, light = 0.0, count - 1
        for pack in range(num_packs):
            total += items[row, pack]
            for _ in range(size - 1):
                total += items[row, light]
                light -= 1
            bound[row] = max(bound[row], total / (pack + 1))
    return bound
