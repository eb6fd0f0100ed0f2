# Draws from a generator that every rank seeds for itself.
import numpy

plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    return plan(weight * torch.from_numpy(1 + numpy.random.random(weight.size(1))), *shape)
