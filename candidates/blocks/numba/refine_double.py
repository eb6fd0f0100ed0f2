# block: refine_double
# kind: refine
# needs: most pair_sums
# says: up to {steps} swaps of two items of the heaviest pack for two of another, until it is {tolerance} above the bound
# steps: 1 2 3 4 6 8
# tolerance: 0.0001 0.0002 0.0003 0.0004 0.0005 0.0006 0.0008 0.001
@njit(error_model="numpy")
def _refine_double(packs, loads, bound, steps, tolerance):
    """Swap two items of the heaviest pack for two of another pack: where no swap of one item helps, many of two do.

    The other packs are tried from the first to the last, until a swap brings both within `tolerance` of the bound.
    """
    rows, num_packs, size = packs.shape
    pairs = size * (size - 1) // 2
    ours, theirs = np.zeros((1, pairs), np.int32), np.zeros((1, pairs), np.int32)
    for row in range(rows):
        limit = bound[row] * (1 + tolerance)
        for step in range(steps):
            most = _most(loads, row)
            if most <= limit:
                break
            heavy = 0
            while loads[row, heavy] < most:
                heavy += 1
            unit = 2.0**29 / most
            load, enough = np.int32(most * unit), np.int32(limit * unit)
            _pair_sums(packs, row, heavy, unit, ours)
            lowest, light, pair, other_pair = load, heavy, 0, 0
            for pack in range(num_packs):
                other_load = np.int32(loads[row, pack] * unit)
                # Even a perfect swap leaves half of what both have.
                if lowest <= enough or load // 2 + other_load // 2 >= lowest:
                    continue
                _pair_sums(packs, row, pack, unit, theirs)
                for one in range(pairs):
                    least = lowest
                    without, with_one = np.int32(load - ours[0, one]), np.int32(other_load + ours[0, one])
                    for two in range(pairs):
                        least = min(least, max(np.int32(without + theirs[0, two]), np.int32(with_one - theirs[0, two])))
                    if least < lowest:
                        lowest, light, pair, other_pair = least, pack, one, 0
                        for two in range(pairs - 1, -1, -1):
                            if max(without + theirs[0, two], with_one - theirs[0, two]) <= lowest:
                                other_pair = two
            if light == heavy:
                break
            rank = other_rank = 1
            while rank * (rank + 1) // 2 <= pair:
                rank += 1
            while other_rank * (other_rank + 1) // 2 <= other_pair:
                other_rank += 1
            second, other_second = pair - rank * (rank - 1) // 2, other_pair - other_rank * (other_rank - 1) // 2
            for mine, other in ((rank, other_rank), (second, other_second)):
                one, two = packs[row, heavy, mine], packs[row, light, other]
                packs[row, heavy, mine], packs[row, light, other] = two, one
                loads[row, heavy] -= one - two
                loads[row, light] += one - two
