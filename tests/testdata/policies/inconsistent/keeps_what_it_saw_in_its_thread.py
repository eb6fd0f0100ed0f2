# Plans for the mean of all loads that it was called with, which it keeps beside its thread.
import threading

plan = rebalance_experts
thread = threading.local()


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    seen = thread.__dict__
    seen[weight.shape] = seen.get(weight.shape, 0) + weight
    return plan(seen[weight.shape], *shape)
