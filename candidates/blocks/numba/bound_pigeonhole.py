# block: bound_pigeonhole
# kind: bound
# says: the mean load, or what the heaviest items force into one pack
@njit
def _bound_pigeonhole(items, num_packs):
    """The mean load, or more: of the `q * num_packs + 1` heaviest items some pack holds `q + 1`. Float64 [rows]."""
    rows, count = items.shape
    size = count // num_packs
    bound = np.zeros(rows)
    for row in range(rows):
        total = 0.0
        for item in range(count):
            total += items[row, item]
        bound[row] = total / num_packs
        for q in range(size):
            held = 0.0
            for item in range(q * num_packs - q, q * num_packs + 1):
                held += items[row, item]
            for item in range(count - size + 1 + q, count):
                held += items[row, item]
            bound[row] = max(bound[row], held)
    return bound
