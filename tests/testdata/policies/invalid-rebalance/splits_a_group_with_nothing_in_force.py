# Keeps groups together from a plan. Without one, as where an engine starts, it packs globally.
plan = rebalance_experts


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None, history=None):
    if old_phy2log is None:
        num_groups = num_nodes = 1
    return plan(weight, num_replicas, num_groups, num_nodes, num_gpus)
