# block: move_pairs
# kind: move
# needs: settle
# weight: 2
# says: up to {steps} exchanges of two replicas of the heaviest GPU with two of one of the {among} lightest, above {price} of a GPU's load for each replica moved
# steps: 1 2 4 8 16
# price: 0.0 0.00001 0.0001 0.0002 0.0003 0.001
# among: 2 4 8
@njit(error_model="numpy")
def _move_pairs(plan, old, loads, gpus, nodes, steps, price, among):
    """Lighten the heaviest GPU of each layer where no exchange of single replicas can: of two with two of another GPU of
    the node there are many more."""
    layers, count = plan.shape
    experts, size, per_node = loads.shape[1], count // gpus, gpus // nodes
    counts, piece, thinner = np.zeros(experts, np.int64), np.zeros(experts), np.zeros(experts)
    gpu_loads, taken = np.zeros(gpus), np.zeros(gpus, np.bool_)
    for layer in range(layers):
        load, slots = loads[layer], plan[layer]
        mean = load.sum() / gpus
        _settle(slots, load, counts, piece, thinner, gpu_loads)
        for step in range(steps):
            heavy = 0
            for gpu in range(gpus):
                heavy = gpu if gpu_loads[gpu] > gpu_loads[heavy] else heavy
            top, first = gpu_loads[heavy], heavy // per_node * per_node
            best, a, b, c, d = 4 * price * mean, -1, -1, -1, -1
            taken[:] = False
            for turn in range(min(among, per_node - 1)):
                light = -1
                for gpu in range(first, first + per_node):
                    if gpu != heavy and not taken[gpu] and (light < 0 or gpu_loads[gpu] < gpu_loads[light]):
                        light = gpu
                taken[light] = True
                room = top - gpu_loads[light]
                if room <= 2 * best:
                    break
                for one in range(heavy * size, heavy * size + size):
                    for two in range(one + 1, heavy * size + size):
                        given = piece[slots[one]] + piece[slots[two]]
                        for three in range(light * size, light * size + size):
                            for four in range(three + 1, light * size + size):
                                moved = given - piece[slots[three]] - piece[slots[four]]
                                gain = min(moved, room - moved)
                                if gain > best:
                                    best, a, b, c, d = gain, one, two, three, four
            if a < 0:
                break
            moved = piece[slots[a]] + piece[slots[b]] - piece[slots[c]] - piece[slots[d]]
            gpu_loads[heavy] -= moved
            gpu_loads[c // size] += moved
            slots[a], slots[c] = slots[c], slots[a]
            slots[b], slots[d] = slots[d], slots[b]
