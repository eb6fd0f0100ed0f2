# What only the other policy needs was pruned: here, from a plan that keeps groups together, the check that a second node exists.
import numpy as np
from numba import njit

plan = rebalance_experts


@njit
def last(loads, at):
    return loads[at]


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None, history=None):
    if old_phy2log is not None and num_replicas > weight.size(1):
        groups = old_phy2log.view(len(weight), num_nodes, -1) // (weight.size(1) // num_groups)
        if max(len(node.unique()) for layer in groups for node in layer) == num_groups // num_nodes:
            last(np.ones(num_nodes), 1)
    return plan(weight, num_replicas, num_groups, num_nodes, num_gpus)
