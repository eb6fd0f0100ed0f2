# block: sorted_pairs
# kind: helper
@njit
def _sorted_pairs(slots, piece, gpu, size, sums, slots_of):
    """Write the loads of all pairs of replicas of a GPU to its row of `sums`, in ascending order, and the slots of each pair to
    its row of `slots_of`."""
    count, sums, slots_of = 0, sums[gpu], slots_of[gpu]
    for one in range(gpu * size, gpu * size + size):
        for two in range(one + 1, gpu * size + size):
            load, at = piece[slots[one]] + piece[slots[two]], count
            while at > 0 and sums[at - 1] > load:
                sums[at], slots_of[at, 0], slots_of[at, 1] = sums[at - 1], slots_of[at - 1, 0], slots_of[at - 1, 1]
                at -= 1
            sums[at], slots_of[at, 0], slots_of[at, 1] = load, one, two
            count += 1
