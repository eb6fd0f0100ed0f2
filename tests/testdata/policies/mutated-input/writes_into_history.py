plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    if history is not None:
        history[0, 0, 0] += 1
    return plan(weight, *shape)
