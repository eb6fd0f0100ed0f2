# block: seated
# kind: helper
@njit
def _seated(ours, theirs, names, experts):
    """The rows of `ours` with each part in the place that `names` has for it, [X, parts], and with each replica that was in
    that part of `theirs` in its slot."""
    rows, count = ours.shape
    size, left = count // names.shape[1], np.zeros(experts, np.int64)
    plan = np.empty_like(ours)
    for row in range(rows):
        for part in range(names.shape[1]):
            new, start = ours[row, part * size:(part + 1) * size], names[row, part] * size
            for expert in new:
                left[expert] += 1
            for slot in range(start, start + size):
                stays = left[theirs[row, slot]] > 0
                plan[row, slot] = theirs[row, slot] if stays else -1
                left[theirs[row, slot]] -= stays
            slot = start
            for expert in new:
                # The replicas that stay have their slots already.
                if left[expert] > 0:
                    left[expert] -= 1
                    while plan[row, slot] >= 0:
                        slot += 1
                    plan[row, slot] = expert
    return plan
