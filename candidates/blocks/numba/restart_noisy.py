# block: restart_noisy
# kind: restart
# needs: noisy unfinished select_lowest
# says: {attempts} further attempts with {noise} noise on the order, for rows that are {tolerance} above the bound
# attempts: 1 2 3 4
# noise: 0.01 0.02 0.05 0.1 0.2
# tolerance: 0.0002 0.0005 0.001 0.002 0.005
def _restart_noisy(items, packs, loads, bound, num_packs, attempts, noise, tolerance):
    """Pack unfinished rows again, with their items in a slightly different order, and keep the better packing."""
    for attempt in range(attempts):
        which = _unfinished(loads, bound, tolerance)
        if len(which) == 0:
            break
        part, part_loads = packs[which], loads[which]
        _select_lowest(part, part_loads, *_pack(_noisy(items[which], noise, attempt + 2), bound[which], num_packs))
        packs[which], loads[which] = part, part_loads
