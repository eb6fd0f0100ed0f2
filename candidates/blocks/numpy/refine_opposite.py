# block: refine_opposite
# kind: refine
# needs: best_swap rising
# says: {steps} steps of swaps between the 1/{share} heaviest packs and the lightest, each with its opposite
# steps: 1 2 3 4 6 8 12 16 24 32
# share: 2 3 4 6 8
def _refine_opposite(packs, loads, bound, steps, share):
    """Swap one item between each of the heaviest packs and its opposite among the lightest, all pairs in one step.

    From step to step the opposites move on by one, so that a pair without a good swap is not stuck with each other.
    """
    size, (rows, num_packs) = len(packs), loads.shape
    pairs = max(1, num_packs // share)
    first = (np.arange(rows) * num_packs)[:, None]
    slots, flat, width = packs.ravel(), loads.ravel(), rows * num_packs
    each = np.arange(rows * pairs)
    for step in range(steps):
        order = _rising(loads) + first
        heavy = order[:, num_packs - pairs:][:, ::-1].ravel()
        light = np.roll(order[:, :pairs], -(step % pairs), 1).ravel()
        items, others = packs.take(heavy, 1), packs.take(light, 1)
        load, other_load = flat[heavy], flat[light]
        surplus = load - other_load
        rank, other_rank, _ = _best_swap(items, others, surplus * 0.5)
        item, other = items[rank, each], others[other_rank, each]
        moved = item - other
        better = (moved > 0) & (moved < surplus)
        slots[rank * width + heavy] = np.where(better, other, item)
        slots[other_rank * width + light] = np.where(better, item, other)
        moved *= better
        flat[heavy] = load - moved
        flat[light] = other_load + moved
