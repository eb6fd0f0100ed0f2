# block: move_doubles
# kind: move
# says: parts up to {steps} doubles a layer, replicas of an expert on one GPU, where it makes no GPU more than {worse} heavier than the heaviest
# steps: 1 2 4 8
# worse: 0.0 0.001 0.005
@njit(error_model="numpy")
def _move_doubles(plan, old, loads, gpus, nodes, steps, worse):
    """Exchange replicas of an expert that another slot of their GPU holds with replicas of other GPUs of the node, which
    lightens the heaviest GPU as far as it can: the expert's load is then spread over one GPU more."""
    layers, count = plan.shape
    experts, size, per_node = loads.shape[1], count // gpus, gpus // nodes
    counts, gpu_loads = np.zeros(experts, np.int64), np.zeros(gpus)
    for layer in range(layers):
        slots = plan[layer]
        counts[:] = 0
        for slot in range(count):
            counts[slots[slot]] += 1
        gpu_loads[:] = 0
        for slot in range(count):
            gpu_loads[slot // size] += loads[layer, slots[slot]] / counts[slots[slot]]
        limit, left = gpu_loads.max() * (1 + worse), steps
        for slot in range(count):
            gpu, expert = slot // size, slots[slot]
            if left == 0 or counts[expert] < 2 or not np.any(slots[gpu * size:slot] == expert):
                continue
            piece, lowest, chosen = loads[layer, expert] / counts[expert], np.inf, -1
            first = gpu // per_node * per_node
            for other in range(first * size, (first + per_node) * size):
                there, partner = other // size, slots[other]
                if there == gpu or np.any(slots[there * size:there * size + size] == expert):
                    continue
                if np.any(slots[gpu * size:gpu * size + size] == partner):
                    continue
                moved = piece - loads[layer, partner] / counts[partner]
                high = max(gpu_loads[gpu] - moved, gpu_loads[there] + moved)
                if high < lowest:
                    lowest, chosen = high, other
            if chosen >= 0 and lowest <= limit:
                moved = piece - loads[layer, slots[chosen]] / counts[slots[chosen]]
                gpu_loads[gpu] -= moved
                gpu_loads[chosen // size] += moved
                slots[slot], slots[chosen] = slots[chosen], slots[slot]
                left -= 1
