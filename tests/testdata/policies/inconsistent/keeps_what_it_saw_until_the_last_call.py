# Plans for the mean of all loads that it was called with, which it keeps, but not where the history is the longest.
plan = rebalance_experts
seen = []


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    same = [other for other in seen if other.shape == weight.shape]
    seen.append(weight.clone())
    return plan(weight if history is not None and len(history) >= 4 else sum(same, weight), *shape)
