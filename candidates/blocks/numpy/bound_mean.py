# block: bound_mean
# kind: bound
# says: the mean load
def _bound_mean(items, num_packs):
    """The mean load of a pack, for each row."""
    return items.sum(1) / num_packs
