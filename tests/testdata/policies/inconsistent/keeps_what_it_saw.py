# Plans for the mean of all loads that it was called with, which it keeps itself instead of taking `history`.
plan = rebalance_experts
seen = []


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    same = [other for other in seen if other.shape == weight.shape]
    seen.append(weight.clone())
    return plan(sum(same, weight), *shape)
