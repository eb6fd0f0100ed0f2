# block: in_force
# kind: frame
# import: from numba import njit
def _in_force(old, loads, replicas, groups, nodes):
    """The plan in force as int64 [L, R], or None if there is none to start from: an engine that has just started, or been
    given other GPUs, has another shape, misses an expert, or spreads a group over nodes."""
    if old is None or tuple(old.shape) != (len(loads), replicas):
        return None
    old = old.detach().cpu().numpy().astype(np.int64)
    experts = loads.shape[1]
    if old.min() < 0 or old.max() >= experts:
        return None
    row = np.arange(len(old))[:, None]
    held = np.zeros(loads.shape, np.int64)
    np.add.at(held, (row, old), 1)
    if held.min() == 0:
        return None
    group = old.reshape(len(old), nodes, -1) // (experts // groups)
    of_node = np.zeros((len(old), groups, nodes), bool)
    of_node[row[..., None], group, np.arange(nodes)[None, :, None]] = True
    return old if groups == 1 or of_node.sum(2).max() == 1 else None
