# Draws from generators that no call seeds: what they give depends on the calls before.
import numpy

plan = rebalance_experts
noise = numpy.random.default_rng(1)


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    return plan(weight * torch.from_numpy(1 + noise.random(weight.size(1))), *shape)
