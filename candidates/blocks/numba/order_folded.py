# block: order_folded
# kind: order
# says: the heaviest item of each pack first, then the others from the lightest
@njit
def _order_folded(items, num_packs):
    """The `num_packs` heaviest items first, then the others, lightest first: a giant needs light neighbours."""
    rows, count = items.shape
    folded = np.empty((rows, count))
    for row in range(rows):
        for item in range(num_packs):
            folded[row, item] = items[row, item]
        for item in range(num_packs, count):
            folded[row, item] = items[row, count - 1 - item + num_packs]
    return folded
