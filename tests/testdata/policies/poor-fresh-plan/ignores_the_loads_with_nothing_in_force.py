# Honest from a plan. Without one, as where an engine starts, it plans as if all experts had equal loads.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    return plan(weight if old_phy2log is not None else torch.ones_like(weight), *shape)
