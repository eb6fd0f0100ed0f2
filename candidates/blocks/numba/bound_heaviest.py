# block: bound_heaviest
# kind: bound
# says: the mean load, or the heaviest item with the lightest beside it
def _bound_heaviest(items, num_packs):
    """The mean load, or the heaviest item with the lightest items beside it, if that is more: float64 [rows]."""
    beside = items.shape[1] // num_packs - 1
    return np.maximum(items.sum(1) / num_packs, items[:, 0] + items[:, items.shape[1] - beside:].sum(1))
