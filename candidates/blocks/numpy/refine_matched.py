# block: refine_matched
# kind: refine
# needs: best_swap rising
# says: up to {steps} steps of swaps between the 1/{share} heaviest packs and the lightest, all pairs compared
# steps: 1 2 3 4 6 8 12
# share: 2 3 4 6 8
def _refine_matched(packs, loads, bound, steps, share):
    """Compare every pair of a heavy and a light pack, and swap an item in the pairs where each is the other's best:
    several disjoint pairs in a step."""
    rows, num_packs = loads.shape
    pairs = max(1, num_packs // share)
    first = (np.arange(rows) * num_packs)[:, None]
    slots, flat, width = packs.ravel(), loads.ravel(), rows * num_packs
    for _ in range(steps):
        order = _rising(loads) + first
        heavy = order[:, num_packs - pairs:].repeat(pairs, 1).ravel()
        light = np.tile(order[:, :pairs], pairs).ravel()
        half = (flat[heavy] - flat[light]) * 0.5
        rank, other_rank, distance = _best_swap(packs.take(heavy, 1), packs.take(light, 1), half)
        gains = (half - distance).reshape(rows, pairs, pairs)
        best = (gains == gains.max(2, keepdims=True)) & (gains == gains.max(1, keepdims=True))
        # Of equal gains the first wins, for both packs.
        best &= (best.cumsum(1) == 1) & (best.cumsum(2) == 1)
        chosen = np.flatnonzero(best.ravel() & (gains.ravel() > 1e-6 * flat[heavy]))
        if len(chosen) == 0:
            break
        heavy, light = heavy[chosen], light[chosen]
        place, other_place = rank[chosen] * width + heavy, other_rank[chosen] * width + light
        item, other = slots[place], slots[other_place]
        slots[place], slots[other_place] = other, item
        flat[heavy] -= item - other
        flat[light] += item - other
