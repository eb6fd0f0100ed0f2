# block: bound_mean
# kind: bound
# says: the mean load
def _bound_mean(items, num_packs):
    """The mean load of a pack, float64 [rows]; in NumPy, because there is nothing to gain by compiling it."""
    return items.sum(1) / num_packs
