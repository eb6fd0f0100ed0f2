# block: refine_heaviest
# kind: refine
# needs: best_swap unfinished put_back
# says: up to {steps} swaps of the heaviest pack with the best of all, in rows that are {tolerance} above the bound
# steps: 4 6 8 12 16 24 32 48 64
# tolerance: 0.0 0.0001 0.0002 0.0003 0.0005 0.001 0.002
def _refine_heaviest(packs, loads, bound, steps, tolerance):
    """Swap an item of the heaviest pack for one of the other pack that leaves the least load in the heavier of the two.

    Rows that gain nothing are done and, after every fourth step, those within `tolerance` of their bound: they do not
    change any more. Now and then the others are taken together, so that a step costs what is left to do.
    """
    which, part, part_loads = _unfinished(packs, loads, bound, tolerance)
    limit = bound[which] * (1 + tolerance)
    alive = np.ones(len(which), bool)
    for step in range(steps):
        if step == 0 or 4 * alive.sum() < 3 * len(alive):
            if step > 0:
                _put_back(packs, loads, which, part, part_loads)
                which, limit = which[alive], limit[alive]
                part = packs.reshape(len(packs), *loads.shape).take(which, 1).reshape(len(packs), -1)
                part_loads = loads[which]
                alive = alive[alive]
            rows, num_packs = part_loads.shape
            first = np.arange(rows) * num_packs
            slots, flat, width = part.ravel(), part_loads.ravel(), rows * num_packs
        heavy = part_loads.argmax(1) + first
        load = flat[heavy]
        half = (load[:, None] - part_loads) * 0.5
        ranks, other_ranks, distance = _best_swap(part.take(heavy, 1).repeat(num_packs, 1), part, half.ravel())
        gains = half - distance.reshape(half.shape)  # How far the heavier of the two falls below the current heaviest.
        light = gains.argmax(1) + first
        place, other_place = ranks[light] * width + heavy, other_ranks[light] * width + light
        item, other = slots[place], slots[other_place]
        better = alive & (gains.ravel()[light] > load * 1e-6)
        slots[place] = np.where(better, other, item)
        slots[other_place] = np.where(better, item, other)
        moved = (item - other) * better
        flat[heavy] -= moved
        flat[light] += moved
        alive = better & (part_loads.max(1) > limit) if step % 4 == 3 else better
        if not alive.any():
            break
    _put_back(packs, loads, which, part, part_loads)
