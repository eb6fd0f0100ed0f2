# block: order_roundwise
# kind: order
# says: rounds of items by the spread of their weights, widest first
def _order_roundwise(items, num_packs):
    """Rounds of `num_packs` items, the widest spread first: later rounds can correct less."""
    rounds = items.reshape(len(items), -1, num_packs)
    spread = rounds[:, :, 0] - rounds[:, :, -1]
    return np.take_along_axis(rounds, (-spread).argsort(1, kind="stable")[:, :, None], 1).reshape(items.shape)
