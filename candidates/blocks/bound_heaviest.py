# block: bound_heaviest
# kind: bound
# says: the mean load, or the heaviest item with the lightest beside it
def _bound_heaviest(items, num_packs):
    """No row's heaviest pack is below the mean load, nor below its heaviest item with the lightest beside it."""
    beside = items.shape[1] // num_packs - 1
    return np.maximum(items.sum(1) / num_packs, items[:, 0] + items[:, items.shape[1] - beside:].sum(1))
