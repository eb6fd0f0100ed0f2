# block: move_heaviest
# kind: move
# needs: settle
# weight: 6
# says: up to {steps} operations on the heaviest GPU, with one of the {among} lightest, by what they lighten it for each replica moved, above {price} of a GPU's load; for layers that are {start} above the mean, until {goal} above it
# steps: 8 16 64 256
# price: 0.0 0.0001 0.0002 0.0003 0.0005 0.001 0.002 0.003 0.005 0.01 0.02 0.03 0.05 0.07 0.1 0.15
# among: 2 4 8
# start: 0.0 0.003 0.01
# goal: 0.0001 0.0003 0.001 0.003 0.01 0.03 0.1
@njit(error_model="numpy")
def _move_heaviest(plan, old, loads, gpus, nodes, steps, price, among, start, goal):
    """Lighten the heaviest GPU of each layer, step by step: exchange one of its replicas with a lighter one of its node, or
    overwrite a spare replica, of an expert that has another one. A replica that is where it was in `old` costs nothing."""
    layers, count = plan.shape
    experts, size, per_node = loads.shape[1], count // gpus, gpus // nodes
    counts, piece, thinner = np.zeros(experts, np.int64), np.zeros(experts), np.zeros(experts)
    gpu_loads, light, spare = np.zeros(gpus), np.zeros(gpus, np.int64), np.zeros(count, np.int64)
    held, partner, last = np.zeros(count), np.zeros(count, np.int64), np.zeros(experts, np.int64)
    thin, topped, rises = np.zeros(size), np.zeros(size), np.zeros(count)
    for layer in range(layers):
        load, slots, before = loads[layer], plan[layer], old[layer]
        mean = load.sum() / gpus
        _settle(slots, load, counts, piece, thinner, gpu_loads)
        if gpu_loads.max() <= mean * (1 + start):
            continue
        for slot in range(count):
            held[slot] = piece[slots[slot]]
        near, listed, spares, least, least_rise = among, -1, 0, 0, 0.0
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
            low, high = heavy * size, heavy * size + size
            for at in range(found):
                room = top - gpu_loads[light[at]]
                if room <= best:
                    break
                from_b, to_b = light[at] * size, light[at] * size + size
                is_changed = False
                for b in range(from_b, to_b):
                    is_changed |= slots[b] != before[b]
                for a in range(low, high):
                    # Exchanging two replicas that are both where they were costs two moves.
                    enough = best / 2 if is_changed or slots[a] != before[a] else best * 2
                    for b in range(from_b, to_b):
                        moved = held[a] - held[b]
                        gain = min(moved, room - moved)
                        if gain <= enough:
                            continue
                        x, y = slots[a], slots[b]
                        cost = (y != before[a]) - (x != before[a]) + (x != before[b]) - (y != before[b])
                        gain /= max(cost, 0.5)
                        if gain > best:
                            best, one, other = gain, a, b
            # Replicas that others of their expert can stand in for, each with another one of it in a circle and with what
            # each of the others gains in load if it goes, and what would be the lightest one in their place.
            if listed != first:
                listed, spares, least = first, 0, first * size
                for slot in range(first * size, (first + per_node) * size):
                    x = slots[slot]
                    if counts[x] > 1:
                        spare[spares] = slot
                        spares += 1
                        last[x] = -1
                    least = slot if thinner[x] < thinner[slots[least]] else least
                least_rise = np.inf
                for at in range(spares):
                    x = slots[spare[at]]
                    rises[at] = load[x] / (counts[x] - 1) - held[spare[at]]
                    least_rise = min(least_rise, rises[at])
                    partner[spare[at]] = last[x]
                    last[slots[spare[at]]] = spare[at]
                for at in range(spares):
                    if partner[spare[at]] < 0:
                        partner[spare[at]] = last[slots[spare[at]]]
            thinnest = np.inf
            for a in range(size):
                thin[a] = thinner[slots[low + a]]
                topped[a] = top - held[low + a] + thin[a]
                thinnest = min(thinnest, thin[a])
            # The others are at best on the lightest GPU.
            lightest = gpu_loads[light[0]] if found > 0 else top
            for at in range(spares if lightest + least_rise < top - best / 2 else 0):
                if lightest + rises[at] >= top - best / 2:
                    continue
                slot = spare[at]
                gpu, y = slot // size, slots[slot]
                left = gpu_loads[gpu] - held[slot]
                if gpu != heavy and left + thinnest >= top - best / 2:
                    continue
                # What the heaviest GPU of its other replicas rises to.
                risen, another = 0.0, partner[slot]
                while another != slot:
                    risen = max(risen, gpu_loads[another // size] + rises[at])
                    another = partner[another]
                if risen >= top - best / 2:
                    continue
                back = 1 if y == before[slot] else 0
                if gpu != heavy:
                    for a in range(size):
                        gain = top - max(risen, max(left + thin[a], topped[a]))
                        x = slots[low + a]
                        gain *= 1 if back and x != before[slot] else 2
                        if gain > best and x != y:
                            best, one, other, new = gain, slot, -1, x
                    continue
                # The lightest of all, or where nothing else helps any one.
                from_slot, to_slot = (first * size, (first + per_node) * size) if near == per_node else (least, least + 1)
                for a in range(from_slot, to_slot):
                    x = slots[a]
                    gain = top - max(risen, left + thinner[x])
                    gain *= 1 if back and x != before[slot] else 2
                    if gain > best and x != y:
                        best, one, other, new = gain, slot, -1, x
            if one < 0:
                if near >= per_node:
                    break
                near = per_node
                continue
            if other >= 0:
                moved = held[one] - held[other]
                gpu_loads[one // size] -= moved
                gpu_loads[other // size] += moved
                held[one], held[other] = held[other], held[one]
                slots[one], slots[other] = slots[other], slots[one]
                # The list has the slots of what was exchanged.
                listed = -1 if max(counts[slots[one]], counts[slots[other]]) > 1 else listed
                least = other if least == one else one if least == other else least
            else:
                gone = slots[one]
                slots[one] = new
                counts[gone] -= 1
                counts[new] += 1
                for expert in (gone, new):
                    piece[expert] = load[expert] / counts[expert]
                    thinner[expert] = load[expert] / (counts[expert] + 1)
                for slot in range(count):
                    if slots[slot] == new or slots[slot] == gone:
                        gpu_loads[slot // size] += piece[slots[slot]] - held[slot]
                        held[slot] = piece[slots[slot]]
                listed = -1
