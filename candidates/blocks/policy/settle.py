# block: settle
# kind: helper
@njit(error_model="numpy")
def _settle(slots, load, counts, piece, thinner, gpu_loads):
    """What follows from the slots of a layer: the replicas of each expert, what one of them weighs, what it would weigh if
    there were one more, and the loads of the GPUs."""
    size = len(slots) // len(gpu_loads)
    counts[:] = 0
    for slot in range(len(slots)):
        counts[slots[slot]] += 1
    for expert in range(len(load)):
        piece[expert] = load[expert] / counts[expert]
        thinner[expert] = load[expert] / (counts[expert] + 1)
    for gpu in range(len(gpu_loads)):
        total = 0.0
        for slot in range(gpu * size, gpu * size + size):
            total += piece[slots[slot]]
        gpu_loads[gpu] = total
