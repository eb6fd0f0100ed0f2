"""A double of SGLang's choice of planner."""

import enum

from sglang.srt.eplb.eplb_algorithms import deepseek


class EplbAlgorithm(enum.Enum):
    deepseek = enum.auto()
    deepseek_hierarchical = enum.auto()


def rebalance_experts(tokens_per_expert, num_physical_experts, num_local_physical_experts, num_groups, num_nodes,
                      algorithm):
    return deepseek.rebalance_experts(tokens_per_expert.sum(0), num_physical_experts, num_groups, num_nodes,
                                      num_physical_experts // num_local_physical_experts,
                                      algorithm is EplbAlgorithm.deepseek_hierarchical)
