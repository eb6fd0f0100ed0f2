# block: filled
# kind: helper
def _filled(loads, node_of, slots, nodes):
    """The number of replicas of each expert, int64 [L, E]: as many as keep each one below a water level, which is the lowest
    that a node's slots can hold; what is left goes to the heaviest ones."""
    layers, experts = loads.shape
    of_node = np.argsort(np.repeat(node_of, experts // node_of.shape[1], 1), 1, kind="stable")
    load = np.take_along_axis(loads, of_node, 1).reshape(layers * nodes, -1)
    low, high = np.zeros(len(load)), load.max(1)
    high[high == 0] = 1
    for _ in range(40):
        level = (low + high) / 2
        fits = np.maximum(np.ceil(load / level[:, None]), 1).sum(1) <= slots
        low, high = np.where(fits, low, level), np.where(fits, level, high)
    count = np.maximum(np.ceil(load / high[:, None]), 1).astype(np.int64)
    left = slots - count.sum(1)
    while left.any():
        rows = left.nonzero()[0]
        count[rows, (load[rows] / count[rows]).argmax(1)] += 1
        left[rows] -= 1
    counts = np.empty((layers, experts), np.int64)
    np.put_along_axis(counts, of_node, count.reshape(layers, experts), 1)
    return counts
