# block: fresh_greedy
# kind: fresh
# needs: to_nodes replicated dealt
# says: a fresh plan by greedy replication, and each replica to the lightest GPU with room
def _fresh_greedy(loads, replicas, groups, nodes, gpus):
    """A plan from nothing, int64 [L, R]: groups to nodes, then replicas to the expert whose replicas are heaviest, then
    each replica to the lightest GPU of the node with room, the heaviest first."""
    node_of = _to_nodes(loads, groups, nodes)
    counts = _replicated(loads, node_of, replicas // nodes, nodes)
    piece = loads / counts
    return _dealt(np.argsort(-piece, 1, kind="stable"), piece, counts, node_of, gpus, nodes)
