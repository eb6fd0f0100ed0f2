# block: renamed
# kind: helper
# needs: overlap seated
def _renamed(fresh, old, experts, gpus, nodes, naming):
    """A fresh plan with its nodes, and the GPUs of each node, named by what they share with those of the plan in force, and with
    each replica that stays on its GPU in its slot: int64 [L, R]. `naming` matches parts by what they share."""
    layers, count = fresh.shape
    by_node, rows = (layers, nodes, count // nodes), (layers * nodes, count // nodes)
    names = naming(_overlap(fresh, old, nodes, experts))[..., None]
    ours, theirs = fresh.reshape(rows), np.take_along_axis(old.reshape(by_node), names, 1).reshape(rows)
    seated = _seated(ours, theirs, naming(_overlap(ours, theirs, gpus // nodes, experts)), experts)
    plan = np.empty(by_node, np.int64)
    np.put_along_axis(plan, names, seated.reshape(by_node), 1)
    return plan.reshape(layers, count)
