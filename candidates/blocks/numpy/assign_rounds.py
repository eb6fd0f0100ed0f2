# block: assign_rounds
# kind: assign
# needs: rising untagged
# says: a round of items to all packs, the first of them to the least loaded
def _assign_rounds(items, num_packs):
    """Give every pack an item in each round, the heaviest to the least loaded pack."""
    rows, count = items.shape
    first = (np.arange(rows) * num_packs)[:, None]
    packs = np.empty((count // num_packs, rows * num_packs))
    packs[0] = items[:, :num_packs].ravel()
    weights = _untagged(items)
    loads = weights[:, :num_packs].ravel()
    by_row = loads.reshape(rows, num_packs)
    for rank in range(1, len(packs)):
        pack = _rising(by_row)
        pack += first
        dealt = slice(rank * num_packs, (rank + 1) * num_packs)
        packs[rank][pack] = items[:, dealt]
        loads[pack] += weights[:, dealt]
    return packs, by_row
