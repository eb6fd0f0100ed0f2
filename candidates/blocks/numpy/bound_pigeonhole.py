# block: bound_pigeonhole
# kind: bound
# says: the mean load, or what the heaviest items force into one pack
def _bound_pigeonhole(items, num_packs):
    """The mean load, or more: of the `q * num_packs + 1` heaviest items some pack holds `q + 1`."""
    rows, count = items.shape
    size = count // num_packs
    bound = items.sum(1) / num_packs
    for q in range(size):
        held = items[:, q * num_packs - q:q * num_packs + 1].sum(1)
        beside = items[:, count - (size - 1 - q):].sum(1)
        bound = np.maximum(bound, held + beside)
    return bound
