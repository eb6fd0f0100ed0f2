# Plans for the mean of all loads that it was called with, which it keeps in an attribute of its function.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    seen = rebalance_experts.__dict__
    seen[str(weight.shape)] = seen.get(str(weight.shape), 0) + weight
    return plan(seen[str(weight.shape)], *shape)
