# block: refine_extremes
# kind: refine
# needs: best_swap
# says: up to {steps} swaps between the heaviest pack and the lightest
# steps: 1 2 4 8 16 32 64
def _refine_extremes(packs, loads, bound, steps):
    """Swap an item of the heaviest pack for one of the lightest, until no row improves."""
    rows, num_packs = loads.shape
    first = np.arange(rows) * num_packs
    slots, flat, width = packs.ravel(), loads.ravel(), rows * num_packs
    each = np.arange(rows)
    for _ in range(steps):
        heavy, light = loads.argmax(1) + first, loads.argmin(1) + first
        items, others = packs.take(heavy, 1), packs.take(light, 1)
        surplus = flat[heavy] - flat[light]
        rank, other_rank, _ = _best_swap(items, others, surplus * 0.5)
        item, other = items[rank, each], others[other_rank, each]
        moved = item - other
        better = (moved > 0) & (moved < surplus)
        if not better.any():
            break
        slots[rank * width + heavy] = np.where(better, other, item)
        slots[other_rank * width + light] = np.where(better, item, other)
        moved *= better
        flat[heavy] -= moved
        flat[light] += moved
