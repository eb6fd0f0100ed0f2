# block: to_nodes
# kind: helper
@njit
def _to_nodes(loads, groups, nodes):
    """The node of each group, int64 [L, groups]: the heaviest group first, to the lightest node with room."""
    layers, experts = loads.shape
    size = experts // groups
    node_of, sums = np.full((layers, groups), -1), np.empty(groups)
    node_loads, taken = np.empty(nodes), np.empty(nodes, np.int64)
    for layer in range(layers):
        for group in range(groups):
            sums[group] = 0.0
            for expert in range(group * size, group * size + size):
                sums[group] += loads[layer, expert]
        node_loads[:] = 0
        taken[:] = 0
        for _ in range(groups):
            group = -1
            for other in range(groups):
                if node_of[layer, other] < 0 and (group < 0 or sums[other] > sums[group]):
                    group = other
            best = -1
            for node in range(nodes):
                if taken[node] < groups // nodes and (best < 0 or node_loads[node] < node_loads[best]):
                    best = node
            node_of[layer, group] = best
            node_loads[best] += sums[group]
            taken[best] += 1
    return node_of
