# What the hierarchical policy does not need was pruned: the check that there is a second node.
import numpy as np
from numba import njit

plan = rebalance_experts


@njit
def second(loads):
    return loads[1]


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None, history=None):
    second(np.ones(num_nodes))
    return plan(weight, num_replicas, num_groups, num_nodes, num_gpus)
