# block: dealt
# kind: helper
@njit
def _dealt(order, piece, counts, node_of, gpus, nodes):
    """A plan, int64 [L, R]: the replicas of one expert after the other, each to the lightest GPU of its node with room."""
    layers, experts = order.shape
    size, group_size, per_node = counts[0].sum() // gpus, experts // node_of.shape[1], gpus // nodes
    plan, gpu_loads, filled = np.empty((layers, size * gpus), np.int64), np.empty(gpus), np.empty(gpus, np.int64)
    for layer in range(layers):
        gpu_loads[:] = 0
        filled[:] = 0
        for expert in order[layer]:
            first = node_of[layer, expert // group_size] * per_node
            for _ in range(counts[layer, expert]):
                best = -1
                for gpu in range(first, first + per_node):
                    if filled[gpu] < size and (best < 0 or gpu_loads[gpu] < gpu_loads[best]):
                        best = gpu
                plan[layer, best * size + filled[best]] = expert
                gpu_loads[best] += piece[layer, expert]
                filled[best] += 1
    return plan
