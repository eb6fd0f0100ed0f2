# block: refine_pointers
# kind: refine
# needs: most by_weight
# says: up to {steps} swaps of the heaviest pack with the best of all by two pointers over sorted packs, until it is {tolerance} above the bound
# steps: 8 16 24 32 48 64
# tolerance: 0.0001 0.0002 0.0003 0.0005 0.001
@njit(error_model="numpy")
def _refine_pointers(packs, loads, bound, steps, tolerance):
    """Swap an item of the heaviest pack for one of another pack, so that the heavier of the two becomes lightest.

    The packs are kept sorted, so that two pointers find the best swap of two packs in as many steps as they have items:
    for large packs.
    """
    rows, num_packs, size = packs.shape
    for row in range(rows):
        limit = bound[row] * (1 + tolerance)
        if _most(loads, row) > limit:
            for pack in range(num_packs):
                _by_weight(packs, row, pack)
        for step in range(steps):
            heavy = 0
            for pack in range(num_packs):
                heavy = pack if loads[row, pack] > loads[row, heavy] else heavy
            load = loads[row, heavy]
            if load <= limit:
                break
            lowest, light, rank, other_rank = load * (1 - 1e-7), heavy, 0, 0
            for other in range(num_packs):
                half = (load - loads[row, other]) * 0.5
                one = two = 0
                while one < size and two < size and load - half < lowest:
                    moved = packs[row, heavy, one] - packs[row, other, two]
                    high = max(load - moved, loads[row, other] + moved)
                    if high < lowest:
                        lowest, light, rank, other_rank = high, other, one, two
                    if moved > half:
                        one += 1
                    else:
                        two += 1
            if light == heavy:
                break
            one, two = packs[row, heavy, rank], packs[row, light, other_rank]
            packs[row, heavy, rank], packs[row, light, other_rank] = two, one
            loads[row, heavy] -= one - two
            loads[row, light] += one - two
            _by_weight(packs, row, heavy)
            _by_weight(packs, row, light)
