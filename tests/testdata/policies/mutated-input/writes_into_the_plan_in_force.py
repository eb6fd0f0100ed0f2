plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    if old_phy2log is not None:
        old_phy2log[0, 0] = 0 if old_phy2log[0, 0] else 1
    return plan(weight, *shape)
