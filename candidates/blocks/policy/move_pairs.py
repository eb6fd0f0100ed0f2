# block: move_pairs
# kind: move
# needs: settle sorted_pairs
# weight: 2
# says: up to {steps} exchanges of two replicas of the heaviest GPU with two of one of the {among} lightest, above {price} of a GPU's load for each replica moved
# steps: 1 2 4 8 16
# price: 0.0 0.00001 0.0001 0.0002 0.0003 0.001
# among: 2 4 8
@njit(error_model="numpy")
def _move_pairs(plan, old, loads, gpus, nodes, steps, price, among):
    """Lighten the heaviest GPU of each layer where no exchange of single replicas can: of two with two of another GPU of
    the node there are many more. The sums of the pairs of a GPU stay sorted until one of its replicas is exchanged."""
    layers, count = plan.shape
    experts, size, per_node = loads.shape[1], count // gpus, gpus // nodes
    counts, piece, thinner = np.zeros(experts, np.int64), np.zeros(experts), np.zeros(experts)
    gpu_loads, taken, known = np.zeros(gpus), np.zeros(gpus, np.bool_), np.zeros(gpus, np.bool_)
    pairs = size * (size - 1) // 2
    sums, slots_of = np.zeros((gpus, pairs)), np.zeros((gpus, pairs, 2), np.int64)
    for layer in range(layers):
        load, slots = loads[layer], plan[layer]
        mean = load.sum() / gpus
        _settle(slots, load, counts, piece, thinner, gpu_loads)
        known[:] = False
        for step in range(steps):
            heavy = 0
            for gpu in range(gpus):
                heavy = gpu if gpu_loads[gpu] > gpu_loads[heavy] else heavy
            if not known[heavy]:
                _sorted_pairs(slots, piece, heavy, size, sums, slots_of)
                known[heavy] = True
            top, start = gpu_loads[heavy], heavy // per_node * per_node
            best, lighter, given, received = 4 * price * mean, -1, -1, -1
            taken[:] = False
            for turn in range(min(among, per_node - 1)):
                light = -1
                for gpu in range(start, start + per_node):
                    if gpu != heavy and not taken[gpu] and (light < 0 or gpu_loads[gpu] < gpu_loads[light]):
                        light = gpu
                taken[light] = True
                room = top - gpu_loads[light]
                if room <= 2 * best:
                    break
                if not known[light]:
                    _sorted_pairs(slots, piece, light, size, sums, slots_of)
                    known[light] = True
                # Best is what moves half of the room: the more our pair weighs, the more must theirs.
                ours = theirs = 0
                while ours < pairs and theirs < pairs:
                    moved = sums[heavy, ours] - sums[light, theirs]
                    gain = min(moved, room - moved)
                    if gain > best:
                        best, lighter, given, received = gain, light, ours, theirs
                    if 2 * moved > room:
                        theirs += 1
                    else:
                        ours += 1
            if lighter < 0:
                break
            moved = sums[heavy, given] - sums[lighter, received]
            gpu_loads[heavy] -= moved
            gpu_loads[lighter] += moved
            for which in range(2):
                one, other = slots_of[heavy, given, which], slots_of[lighter, received, which]
                slots[one], slots[other] = slots[other], slots[one]
            known[heavy] = known[lighter] = False
