# Plans for the mean of all loads that it was called with, which it keeps in a default of its own.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None, seen={}):
    seen[weight.shape] = seen.get(weight.shape, 0) + weight
    return plan(seen[weight.shape], *shape)
