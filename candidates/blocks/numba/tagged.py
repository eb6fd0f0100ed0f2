# block: tagged
# kind: helper
@njit
def _tagged(order, weights):
    """The weights of each row in the given order of items, which is nearly the right one: as tagged weights, sorted.

    A float32 leaves the low 29 bits of a float64 empty: the number of the item, counted from the last, goes there, so
    that one array carries both, and of equal weights the first is the heaviest. A tag is far below what a float32 can
    tell.
    """
    rows, count = weights.shape
    tagged = np.empty((rows, count))
    numbers = tagged.view(np.int64)
    least = np.float32(1e-30)  # A weight of zero would become a denormal, which is slow to compute with.
    for row in range(rows):
        for place in range(count):
            item = order[row, place]
            tagged[row, place] = max(weights[row, item], least)
            numbers[row, place] |= count - 1 - item
            value = tagged[row, place]
            while place > 0 and tagged[row, place - 1] < value:
                tagged[row, place] = tagged[row, place - 1]
                place -= 1
            tagged[row, place] = value
    return tagged
