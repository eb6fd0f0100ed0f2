# block: renamed
# kind: helper
# needs: overlap
@njit
def _renamed(fresh, old, gpus, nodes, naming):
    """A fresh plan with its nodes, and the GPUs of each node, named by what they share with those of the plan in force, and with
    each replica that stays on its GPU in its slot: int64 [L, R]. `naming` matches parts by what they share."""
    layers, count = fresh.shape
    plan, size, per_node = np.empty_like(fresh), count // gpus, gpus // nodes
    if layers == 0:
        return plan
    of_node = count // nodes
    left = np.zeros(max(fresh.max(), old.max()) + 1, np.int64)
    for layer in range(layers):
        node_names = naming(_overlap(fresh[layer], old[layer], nodes, left))
        for node in range(nodes):
            start = node_names[node] * of_node
            ours, theirs = fresh[layer, node * of_node:(node + 1) * of_node], old[layer, start:start + of_node]
            names = naming(_overlap(ours, theirs, per_node, left))
            for gpu in range(per_node):
                new, there = ours[gpu * size:(gpu + 1) * size], names[gpu] * size
                for expert in new:
                    left[expert] += 1
                for slot in range(there, there + size):
                    stays = left[theirs[slot]] > 0
                    plan[layer, start + slot] = theirs[slot] if stays else -1
                    left[theirs[slot]] -= stays
                slot = there
                for expert in new:
                    # The replicas that stay have their slots already.
                    if left[expert] > 0:
                        left[expert] -= 1
                        while plan[layer, start + slot] >= 0:
                            slot += 1
                        plan[layer, start + slot] = expert
    return plan
