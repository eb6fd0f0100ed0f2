# block: assign_chunked
# kind: assign
# needs: rising untagged
# says: chunks of 1/{parts} of the packs' number to the least loaded packs with room
# parts: 1 2 3 4 6 8
def _assign_chunked(items, num_packs, parts):
    """`num_packs / parts` items at a time go to the least loaded packs with room, one each."""
    rows, count = items.shape
    size, width = count // num_packs, rows * num_packs
    first = (np.arange(rows) * num_packs)[:, None]
    packs = np.empty((size, width))
    packs[0] = items[:, :num_packs].ravel()
    weights = _untagged(items)
    loads = weights[:, :num_packs].ravel()
    open_loads = loads.copy()  # Infinite for packs that are full.
    by_row = open_loads.reshape(rows, num_packs)
    filled = np.ones(width, np.int64)
    slots = packs.ravel()
    chunk = max(1, num_packs // parts)
    start = num_packs
    while start < count:
        # Every row has this many packs with room, however the earlier items were dealt.
        end = start + min(chunk, -((start - count) // (size - 1)))
        pack = _rising(by_row)[:, :end - start] + first
        rank = filled[pack]
        slots[rank * width + pack] = items[:, start:end]
        load = loads[pack] + weights[:, start:end]
        loads[pack] = load
        rank += 1
        filled[pack] = rank
        load[rank == size] = np.inf
        open_loads[pack] = load
        start = end
    return packs, loads.reshape(rows, num_packs)
