# block: replicated
# kind: helper
@njit
def _replicated(loads, node_of, slots, nodes):
    """The number of replicas of each expert, int64 [L, E]: one, and each further one of a node's slots to the expert whose
    replicas are the heaviest then."""
    layers, experts = loads.shape
    size = experts // node_of.shape[1]
    counts, own = np.ones((layers, experts), np.int64), np.empty(experts // nodes, np.int64)
    for layer in range(layers):
        for node in range(nodes):
            held = 0
            for expert in range(experts):
                if node_of[layer, expert // size] == node:
                    own[held] = expert
                    held += 1
            for _ in range(slots - held):
                hottest = own[0]
                for expert in own:
                    # Without a division: heavier is the one with more load for the other's count.
                    if loads[layer, expert] * counts[layer, hottest] > loads[layer, hottest] * counts[layer, expert]:
                        hottest = expert
                counts[layer, hottest] += 1
    return counts
