# block: order_snake
# kind: order
# says: every other round of items reversed
def _order_snake(items, num_packs):
    """Reverse every other round of `num_packs` items (snake order)."""
    turned = items.reshape(len(items), -1, num_packs).copy()
    turned[:, 1::2] = turned[:, 1::2, ::-1].copy()
    return turned.reshape(items.shape)
