# Packs globally where the topology is hierarchical: better balanced, and not what routing to few nodes can use.
plan = rebalance_experts


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None, history=None):
    return plan(weight, num_replicas, 1, 1, num_gpus)
