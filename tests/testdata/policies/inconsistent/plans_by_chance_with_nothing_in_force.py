# Honest from a plan. Without one, as where an engine starts, every rank draws another.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    return plan(weight if old_phy2log is not None else weight * (1 + torch.rand(weight.size(1))), *shape)
