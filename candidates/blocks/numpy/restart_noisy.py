# block: restart_noisy
# kind: restart
# needs: unfinished put_back select_lowest rising
# says: {attempts} further attempts with {noise} noise on the order, for rows that are {tolerance} above the bound
# attempts: 1 2 3 4
# noise: 0.01 0.02 0.05 0.1 0.2
# tolerance: 0.0002 0.0005 0.001 0.002 0.005
def _restart_noisy(items, packs, loads, bound, num_packs, attempts, noise, tolerance):
    """Pack unfinished rows again, with their items in a slightly different order, and keep the better packing.

    All rows share the noise of an attempt: what a row becomes must not depend on which others are unfinished.
    """
    random = np.random.default_rng(1)
    for _ in range(attempts):
        which, part, part_loads = _unfinished(packs, loads, bound, tolerance)
        if len(which) == 0:
            break
        again = items[which]
        factor = 1 + noise * random.random(again.shape[1])
        again = np.take_along_axis(again, _rising(again * factor)[:, ::-1], 1)
        _select_lowest(part, part_loads, *_pack(again, bound[which], num_packs))
        _put_back(packs, loads, which, part, part_loads)
