# block: renamed
# kind: helper
@njit
def _renamed(fresh, old, gpus, nodes):
    """A fresh plan with the GPUs of each node named so that they keep much of what they hold, the best pair first, and with
    each replica that stays in its slot: int64 [L, R]."""
    layers, count = fresh.shape
    size, per_node = count // gpus, gpus // nodes
    plan, overlap = np.full_like(fresh, -1), np.empty((per_node, per_node), np.int64)
    stays = np.empty(size, np.bool_)
    for layer in range(layers):
        for node in range(nodes):
            first = node * per_node
            for one in range(per_node):
                for other in range(per_node):
                    ours = fresh[layer, (first + one) * size:(first + one + 1) * size]
                    theirs = old[layer, (first + other) * size:(first + other + 1) * size]
                    stays[:] = False
                    overlap[one, other] = 0
                    for expert in ours:
                        for slot in range(size):
                            if theirs[slot] == expert and not stays[slot]:
                                stays[slot] = True
                                overlap[one, other] += 1
                                break
            for _ in range(per_node):
                one, other = divmod(np.argmax(overlap), per_node)
                overlap[one, :] = -1
                overlap[:, other] = -1
                start = (first + other) * size
                taken = np.zeros(size, np.bool_)
                for expert in fresh[layer, (first + one) * size:(first + one + 1) * size]:
                    for slot in range(size):
                        if not taken[slot] and old[layer, start + slot] == expert:
                            taken[slot] = True
                            plan[layer, start + slot] = expert
                            break
                    else:
                        # Kept for the free slots, behind the others.
                        continue
                for expert in fresh[layer, (first + one) * size:(first + one + 1) * size]:
                    ours = 0
                    for slot in range(size):
                        ours += plan[layer, start + slot] == expert
                    wanted = 0
                    for mine in fresh[layer, (first + one) * size:(first + one + 1) * size]:
                        wanted += mine == expert
                    while ours < wanted:
                        for slot in range(size):
                            if plan[layer, start + slot] < 0:
                                plan[layer, start + slot] = expert
                                break
                        ours += 1
    return plan
