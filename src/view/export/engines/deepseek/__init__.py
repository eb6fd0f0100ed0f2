"""The interface of DeepSeek's EPLB, planned by a program that PackEvolve evolved.

    from packevolve_deepseek import rebalance_experts
"""

from . import guard
from .guard import ORIGIN, Refused

__all__ = ["ORIGIN", "Refused", "rebalance_experts"]


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None, history=None):
    """
    Plan how many replicas each expert gets, and where each of them lives.

    Parameters:
        weight: [L, E], the load of each expert of each layer
        num_replicas: replicas of a layer, a multiple of num_gpus
        num_groups: expert groups of a layer; 0 for none
        num_nodes: server nodes
        num_gpus: GPUs of all nodes together
        old_phy2log: [L, R], the plan in force, and
        history: [S, L, E], the loads of earlier windows, oldest first: what a policy starts from

    Returns, as int64 on the CPU:
        phy2log: [L, R], the expert of each replica
        log2phy: [L, E, max], the replicas of each expert, padded with -1
        logcnt: [L, E], the number of replicas of each expert

    Raises Refused, a ValueError, for loads or a topology that cannot be planned.
    """
    return guard.planned(weight, num_replicas, num_groups, num_nodes, num_gpus, old_phy2log, history)
