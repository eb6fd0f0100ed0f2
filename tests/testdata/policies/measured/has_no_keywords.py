# As the programs of today's engines are called.
plan = rebalance_experts


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):
    return plan(weight, num_replicas, num_groups, num_nodes, num_gpus)
