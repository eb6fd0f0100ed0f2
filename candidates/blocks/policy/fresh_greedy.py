# block: fresh_greedy
# kind: fresh
# says: a fresh plan by greedy replication, and each replica to the lightest GPU with room
@njit
def _fresh_greedy(loads, replicas, groups, nodes, gpus):
    """A plan from nothing, int64 [L, R]: groups to nodes, then replicas to the expert whose replicas are heaviest, then
    each replica to the lightest GPU of the node with room, the heaviest first."""
    layers, experts = loads.shape
    group_size, slots, size = experts // groups, replicas // nodes, replicas // gpus
    plan = np.empty((layers, replicas), np.int64)
    sums, node_loads, taken = np.empty(groups), np.empty(nodes), np.empty(nodes, np.int64)
    node_of = np.empty(groups, np.int64)
    chosen, weights = np.empty(slots, np.int64), np.empty(slots)
    counts, left = np.empty(experts, np.int64), np.empty(max(slots, groups), np.bool_)
    gpu_loads, filled = np.empty(gpus // nodes), np.empty(gpus // nodes, np.int64)
    for layer in range(layers):
        for group in range(groups):
            sums[group] = loads[layer, group * group_size:(group + 1) * group_size].sum()
        node_loads[:] = 0
        taken[:] = 0
        left[:] = True
        for _ in range(groups):
            group = -1
            for other in range(groups):
                group = other if left[other] and (group < 0 or sums[other] > sums[group]) else group
            left[group] = False
            best = -1
            for node in range(nodes):
                if taken[node] < groups // nodes and (best < 0 or node_loads[node] < node_loads[best]):
                    best = node
            node_of[group] = best
            node_loads[best] += sums[group]
            taken[best] += 1
        for node in range(nodes):
            held = 0
            for expert in range(experts):
                if node_of[expert // group_size] == node:
                    counts[expert] = 1
                    chosen[held] = expert
                    held += 1
            own = held
            for replica in range(own, slots):
                hottest = chosen[0]
                for at in range(own):
                    expert = chosen[at]
                    # Without a division: heavier is the one with more load for the other's count.
                    if loads[layer, expert] * counts[hottest] > loads[layer, hottest] * counts[expert]:
                        hottest = expert
                counts[hottest] += 1
                chosen[replica] = hottest
            for at in range(slots):
                weights[at] = loads[layer, chosen[at]] / counts[chosen[at]]
            gpu_loads[:] = 0
            filled[:] = 0
            left[:] = True
            for _ in range(slots):
                # A sort would take two seconds to compile.
                at = -1
                for other in range(slots):
                    at = other if left[other] and (at < 0 or weights[other] > weights[at]) else at
                left[at] = False
                best = -1
                for gpu in range(gpus // nodes):
                    if filled[gpu] < size and (best < 0 or gpu_loads[gpu] < gpu_loads[best]):
                        best = gpu
                plan[layer, node * slots + best * size + filled[best]] = chosen[at]
                gpu_loads[best] += weights[at]
                filled[best] += 1
    return plan
