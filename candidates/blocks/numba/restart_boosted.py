# block: restart_boosted
# kind: restart
# needs: boosted unfinished select_lowest
# says: {attempts} further attempts with the heaviest pack's items {boost} heavier in the order, for rows that are {tolerance} above the bound
# attempts: 1 2 3 4
# boost: 0.02 0.05 0.1 0.2
# tolerance: 0.0002 0.0005 0.001 0.002 0.005
def _restart_boosted(items, packs, loads, bound, num_packs, attempts, boost, tolerance):
    """Pack unfinished rows again, with the items of their heaviest pack earlier than by weight."""
    for _ in range(attempts):
        which = _unfinished(loads, bound, tolerance)
        if len(which) == 0:
            break
        part, part_loads = packs[which], loads[which]
        again = _boosted(items[which], part, part_loads, boost)
        _select_lowest(part, part_loads, *_pack(again, bound[which], num_packs))
        packs[which], loads[which] = part, part_loads
