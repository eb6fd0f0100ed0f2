# block: assign_chunked
# kind: assign
# needs: rising
# says: chunks of 1/{parts} of the packs' number to the least loaded packs with room
# parts: 1 2 3 4 6 8
def _assign_chunked(items, num_packs, parts):
    """`num_packs / parts` items at a time go to the least loaded packs with room, one each."""
    rows, count = items.shape
    size, width = count // num_packs, rows * num_packs
    first = (np.arange(rows) * num_packs)[:, None]
    packs = np.empty((size, width))
    packs[0] = items[:, :num_packs].ravel()
    loads = packs[0].copy()
    open_loads = loads.copy()  # Infinite for packs that are full.
    by_row = open_loads.reshape(rows, num_packs)
    filled = np.ones(width, np.int64)
    slots = packs.ravel()
    chunk = max(1, num_packs // parts)
    start = num_packs
    while start < count:
        # Every row has this many packs with room, however the earlier items were dealt.
        end = start + min(chunk, -((start - count) // (size - 1)))
        item = items[:, start:end]
        pack = _rising(by_row)[:, :end - start] + first
        rank = filled[pack]
        slots[rank * width + pack] = item
        load = loads[pack] + item
        loads[pack] = load
        rank += 1
        filled[pack] = rank
        load[rank == size] = np.inf
        open_loads[pack] = load
        start = end
    return packs, loads.reshape(rows, num_packs)
