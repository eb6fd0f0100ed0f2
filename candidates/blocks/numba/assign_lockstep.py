# block: assign_lockstep
# kind: assign
# weight: 4
# says: one item after the other to the least loaded pack with room, {width} rows at a time
# width: 16 32 48 64 96
@njit(error_model="numpy")
def _assign_lockstep(items, num_packs, width):
    """Give one item after the other to the least loaded pack with room, in `width` rows at once.

    A load is a whole number of units with the number of its pack in the lowest bits, so that a minimum finds both, and
    of equal loads the first. The minimum of four packs at a time in all rows at once becomes vector instructions.
    """
    rows, count = items.shape
    size = count // num_packs
    bits = 0
    while 1 << bits < num_packs:
        bits += 1
    fours = (num_packs + 3) // 4 * 4
    full = np.int32(2**31 - 1)
    packs, loads = np.empty((rows, num_packs, size)), np.empty((rows, num_packs))
    units, keys = np.empty((count, width), np.int32), np.empty((fours, width), np.int32)
    filled, least = np.empty((fours, width), np.int32), np.empty((1, width), np.int32)
    for pack in range(fours):
        for lane in range(width):
            keys[pack, lane] = full
    for first in range(0, rows, width):
        lanes = min(width, rows - first)
        for lane in range(lanes):
            most = 0.0  # No pack can be heavier.
            for item in range(size):
                most += items[first + lane, item]
            # A power of two, so that whole numbers are exact, as far as they fit.
            unit = 1.0
            while unit * most < 2.0**(29 - bits):
                unit *= 2.0
            while unit * most > 2.0**(30 - bits):
                unit *= 0.5
            for item in range(count):
                units[item, lane] = np.int32(np.float32(items[first + lane, item]) * unit) << bits
            for pack in range(num_packs):
                packs[first + lane, pack, 0] = items[first + lane, pack]
                keys[pack, lane] = units[pack, lane] | pack
                filled[pack, lane] = 1
        for item in range(num_packs, count):
            for lane in range(width):
                least[0, lane] = full
            for pack in range(0, fours, 4):
                for lane in range(width):
                    one = min(keys[pack, lane], keys[pack + 1, lane])
                    two = min(keys[pack + 2, lane], keys[pack + 3, lane])
                    least[0, lane] = min(least[0, lane], min(one, two))
            for lane in range(lanes):
                key = least[0, lane]
                pack = key & (1 << bits) - 1
                rank = filled[pack, lane]
                packs[first + lane, pack, rank] = items[first + lane, item]
                filled[pack, lane] = rank + 1
                keys[pack, lane] = key + units[item, lane] if rank + 1 < size else full
        for row in range(first, first + lanes):
            for pack in range(num_packs):
                load = 0.0
                for rank in range(size):
                    load += np.float32(packs[row, pack, rank])  # Without the tag.
                loads[row, pack] = load
    return packs, loads
