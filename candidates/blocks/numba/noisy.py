# block: noisy
# kind: helper
@njit
def _noisy(items, noise, attempt):
    """The items of each row in descending order of weights times factors from 1 to `1 + noise`.

    The factor belongs to the place in the row, so that what a row becomes does not depend on the others: the fractional
    parts of multiples of an irrational number, which another `attempt` shifts.
    """
    rows, count = items.shape
    moved = np.empty((rows, count))
    keys = np.empty(count)
    for row in range(rows):
        for item in range(count):
            fraction = (item * 0.6180339887498949 + attempt * 0.4142135623730951) % 1.0
            key = items[row, item] * (1.0 + noise * fraction)
            place = item
            while place > 0 and keys[place - 1] < key:
                keys[place] = keys[place - 1]
                moved[row, place] = moved[row, place - 1]
                place -= 1
            keys[place] = key
            moved[row, place] = items[row, item]
    return moved
