# block: move_heaviest
# kind: move
# needs: settle
# says: up to {steps} operations on the heaviest GPU, with one of the {among} lightest, by what they lighten it for each replica moved, above {price} of a GPU's load; for layers that are {start} above the mean, until {goal} above it
# steps: 8 16 32 64 256
# price: 0.0 0.0001 0.0003 0.001 0.002 0.005 0.01 0.02 0.05
# among: 2 4 8 16
# start: 0.0 0.005 0.01 0.03
# goal: 0.0001 0.001 0.003 0.01
@njit(error_model="numpy")
def _move_heaviest(plan, old, loads, gpus, nodes, steps, price, among, start, goal):
    """Lighten the heaviest GPU of each layer, step by step: exchange one of its replicas with a lighter one of its node, or
    overwrite a spare replica, of an expert that has another one. A replica that is where it was in `old` costs nothing."""
    layers, count = plan.shape
    experts, size, per_node = loads.shape[1], count // gpus, gpus // nodes
    counts, piece, thinner = np.zeros(experts, np.int64), np.zeros(experts), np.zeros(experts)
    gpu_loads, light, spare = np.zeros(gpus), np.zeros(gpus, np.int64), np.zeros(count, np.int64)
    for layer in range(layers):
        load, slots, before = loads[layer], plan[layer], old[layer]
        mean = load.sum() / gpus
        _settle(slots, load, counts, piece, thinner, gpu_loads)
        if gpu_loads.max() <= mean * (1 + start):
            continue
        near = among
        for step in range(steps):
            heavy = 0
            for gpu in range(gpus):
                heavy = gpu if gpu_loads[gpu] > gpu_loads[heavy] else heavy
            top = gpu_loads[heavy]
            if top <= mean * (1 + goal):
                break
            first = heavy // per_node * per_node
            best, one, other, new = price * mean, -1, -1, -1
            # The lightest GPUs of the node, in order.
            found = 0
            for gpu in range(first, first + per_node):
                if gpu == heavy or found == near and gpu_loads[gpu] >= gpu_loads[light[near - 1]]:
                    continue
                at = min(found, near - 1)
                while at > 0 and gpu_loads[light[at - 1]] > gpu_loads[gpu]:
                    light[at] = light[at - 1]
                    at -= 1
                light[at] = gpu
                found = min(found + 1, near)
            for at in range(found):
                room = top - gpu_loads[light[at]]
                if room <= best:
                    break
                for a in range(heavy * size, heavy * size + size):
                    for b in range(light[at] * size, light[at] * size + size):
                        moved = piece[slots[a]] - piece[slots[b]]
                        gain = min(moved, room - moved)
                        if gain * 2 <= best:
                            continue
                        x, y = slots[a], slots[b]
                        cost = (y != before[a]) - (x != before[a]) + (x != before[b]) - (y != before[b])
                        gain /= max(cost, 0.5)
                        if gain > best:
                            best, one, other = gain, a, b
            # Replicas that others of their expert can stand in for, and what would be the lightest one in their place.
            spares, least = 0, first * size
            for slot in range(first * size, (first + per_node) * size):
                if counts[slots[slot]] > 1:
                    spare[spares] = slot
                    spares += 1
                least = slot if thinner[slots[slot]] < thinner[slots[least]] else least
            for at in range(spares):
                slot = spare[at]
                gpu, y = slot // size, slots[slot]
                left = gpu_loads[gpu] - piece[y]
                if gpu != heavy and left >= top:
                    continue
                low, high = heavy * size, heavy * size + size
                if gpu == heavy:
                    # The lightest of all, or where nothing else helps any one.
                    low, high = (least, least + 1) if near < per_node else (first * size, (first + per_node) * size)
                risen = -1.0
                for a in range(low, high):
                    x = slots[a]
                    if x == y:
                        continue
                    most = left + thinner[x]
                    if gpu != heavy:
                        most = max(most, top - piece[x] + thinner[x])
                    cost = max((x != before[slot]) - (y != before[slot]), 0.5)
                    if top - most <= best * cost:
                        continue
                    if risen < 0:
                        risen = 0.0
                        rise = load[y] / (counts[y] - 1) - piece[y]
                        for another in range(spares):
                            if another != at and slots[spare[another]] == y:
                                risen = max(risen, gpu_loads[spare[another] // size] + rise)
                    gain = (top - max(most, risen)) / cost
                    if gain > best:
                        best, one, other, new = gain, slot, -1, x
            if one < 0:
                if near >= per_node:
                    break
                near = per_node
                continue
            if other >= 0:
                moved = piece[slots[one]] - piece[slots[other]]
                gpu_loads[one // size] -= moved
                gpu_loads[other // size] += moved
                slots[one], slots[other] = slots[other], slots[one]
            else:
                slots[one] = new
                _settle(slots, load, counts, piece, thinner, gpu_loads)
