# block: heaviest
# kind: helper
@njit(error_model="numpy")
def _heaviest(plan, loads, gpus):
    """The load of the heaviest GPU of each layer."""
    layers, count = plan.shape
    size, heaviest, counts = count // gpus, np.zeros(layers), np.zeros(loads.shape[1], np.int64)
    for layer in range(layers):
        counts[:] = 0
        for slot in range(count):
            counts[plan[layer, slot]] += 1
        for gpu in range(gpus):
            total = 0.0
            for slot in range(gpu * size, gpu * size + size):
                total += loads[layer, plan[layer, slot]] / counts[plan[layer, slot]]
            heaviest[layer] = max(heaviest[layer], total)
    return heaviest
