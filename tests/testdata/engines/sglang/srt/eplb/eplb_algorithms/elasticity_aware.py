"""A double of SGLang's planner for the ranks that are left."""

from sglang.srt.eplb.eplb_algorithms.deepseek import rebalance_experts as plan


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, enable_hierarchical, active_ranks):
    active = int(active_ranks.sum())
    return plan(weight, num_replicas // num_gpus * active, 1, 1, active, False)
