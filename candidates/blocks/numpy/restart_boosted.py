# block: restart_boosted
# kind: restart
# needs: unfinished put_back select_lowest rising
# says: {attempts} further attempts with the heaviest pack's items {boost} heavier in the order, for rows that are {tolerance} above the bound
# attempts: 1 2 3 4
# boost: 0.02 0.05 0.1 0.2
# tolerance: 0.0002 0.0005 0.001 0.002 0.005
def _restart_boosted(items, packs, loads, bound, num_packs, attempts, boost, tolerance):
    """Pack unfinished rows again, with the items of their heaviest pack earlier than by weight."""
    for _ in range(attempts):
        which, part, part_loads = _unfinished(packs, loads, bound, tolerance)
        if len(which) == 0:
            break
        again = items[which]
        rows = np.arange(len(which))
        heaviest = part.reshape(len(part), *part_loads.shape)[:, rows, part_loads.argmax(1)].T.copy()
        factor = np.ones(again.shape)  # Indexed by the item's tag.
        factor[rows[:, None], heaviest.view(np.int64) & (2**29 - 1)] = 1 + boost
        factor = np.take_along_axis(factor, again.copy().view(np.int64) & (2**29 - 1), 1)
        again = np.take_along_axis(again, _rising(again * factor)[:, ::-1], 1)
        _select_lowest(part, part_loads, *_pack(again, bound[which], num_packs))
        _put_back(packs, loads, which, part, part_loads)
