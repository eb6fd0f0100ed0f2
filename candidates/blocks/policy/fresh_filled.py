# block: fresh_filled
# kind: fresh
# needs: to_nodes filled dealt
# says: a fresh plan by replication up to a water level, and each replica to the lightest GPU with room
def _fresh_filled(loads, replicas, groups, nodes, gpus):
    """A plan from nothing, int64 [L, R]: groups to nodes, then as many replicas as keep all of a node below the lowest level,
    then each replica to the lightest GPU of the node with room, the heaviest first."""
    node_of = _to_nodes(loads, groups, nodes)
    counts = _filled(loads, node_of, replicas // nodes, nodes)
    piece = loads / counts
    return _dealt(np.argsort(-piece, 1, kind="stable"), piece, counts, node_of, gpus, nodes)
