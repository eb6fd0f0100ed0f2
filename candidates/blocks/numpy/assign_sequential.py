# block: assign_sequential
# kind: assign
# needs: untagged
# says: one item after the other to the least loaded pack with room
def _assign_sequential(items, num_packs):
    """Give one item after the other to the least loaded pack with room, in all rows at once."""
    rows, count = items.shape
    size, width = count // num_packs, rows * num_packs
    first = np.arange(rows) * num_packs
    packs = np.empty((size, width))
    packs[0] = items[:, :num_packs].ravel()
    loads = _untagged(packs[0])
    open_loads = loads.copy()  # Infinite for packs that are full.
    by_row = open_loads.reshape(rows, num_packs)
    filled = np.ones(width, np.int64)
    slots = packs.ravel()
    later = np.ascontiguousarray(items[:, num_packs:].T)
    for item, weight in zip(later, _untagged(later)):
        pack = by_row.argmin(1)
        pack += first
        rank = filled[pack]
        slots[rank * width + pack] = item
        load = loads[pack] + weight
        loads[pack] = load
        rank += 1
        filled[pack] = rank
        load[rank == size] = np.inf
        open_loads[pack] = load
    return packs, loads.reshape(rows, num_packs)
