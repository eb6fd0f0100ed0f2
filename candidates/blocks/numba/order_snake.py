# block: order_snake
# kind: order
# says: every other round of items reversed
@njit
def _order_snake(items, num_packs):
    """Reverse every other round of `num_packs` items (snake order)."""
    rows, count = items.shape
    turned = np.empty((rows, count))
    for row in range(rows):
        for first in range(0, count, num_packs):
            turns = first // num_packs % 2 == 1
            for place in range(num_packs):
                turned[row, first + place] = items[row, first + (num_packs - 1 - place if turns else place)]
    return turned
