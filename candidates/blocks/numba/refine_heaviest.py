# block: refine_heaviest
# kind: refine
# weight: 4
# needs: most in_units heaviest swap
# says: up to {steps} swaps of the heaviest pack with the best of all, until it is {tolerance} above the bound
# steps: 8 16 24 32 48 64 96
# tolerance: 0.0001 0.0002 0.0003 0.0004 0.0005 0.0006 0.0008 0.001
@njit(error_model="numpy")
def _refine_heaviest(packs, loads, bound, steps, tolerance):
    """Swap an item of the heaviest pack for one of another pack, so that the heavier of the two becomes lightest.

    The first item with a swap that brings both packs within `tolerance` of the bound is good enough.
    """
    rows, num_packs, size = packs.shape
    count = num_packs * size
    items, rest, sums = np.zeros(count, np.int32), np.zeros(count, np.int32), np.zeros(num_packs, np.int32)
    for row in range(rows):
        most, limit = _most(loads, row), bound[row] * (1 + tolerance)
        if most <= limit:
            continue
        unit = 2.0**29 / most
        enough = np.int32(limit * unit)
        _in_units(packs, row, unit, items, rest, sums)
        for step in range(steps):
            heavy = _heaviest(sums)
            load = sums[heavy]
            if load <= enough:
                break
            lowest, place = load, 0
            for candidate in range(heavy * size, heavy * size + size):
                item, without = items[candidate], rest[candidate]
                least = load
                for other in range(count):
                    least = min(least, max(np.int32(without + items[other]), np.int32(rest[other] + item)))
                if least < lowest:
                    lowest, place = least, candidate
                    if least <= enough:
                        break
            if lowest == load:
                break
            item, without = items[place], rest[place]
            best = np.int32(count - 1)
            for other in range(count):
                high = max(np.int32(without + items[other]), np.int32(rest[other] + item))
                best = min(best, np.int32(other) if high <= lowest else np.int32(2**30))
            _swap(packs, loads, row, place, best, items, rest, sums)
