# block: listed
# kind: helper
@njit
def _listed(plan, lists):
    """Writes the slots of each expert into its row of `lists`, which holds -1 alone."""
    layers, count = plan.shape
    next_one = np.zeros(lists.shape[1], np.int64)
    for layer in range(layers):
        next_one[:] = 0
        for slot in range(count):
            expert = plan[layer, slot]
            lists[layer, expert, next_one[expert]] = slot
            next_one[expert] += 1
    return lists
