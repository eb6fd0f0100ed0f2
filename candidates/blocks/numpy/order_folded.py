# block: order_folded
# kind: order
# says: the heaviest item of each pack first, then the others from the lightest
def _order_folded(items, num_packs):
    """The `num_packs` heaviest items first, then the others, lightest first: a giant needs light neighbours."""
    return np.concatenate([items[:, :num_packs], items[:, :num_packs - 1:-1]], axis=1)
