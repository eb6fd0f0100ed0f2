# Leaves out an expert, whose load would vanish.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    phy2log, log2phy, logcnt = plan(weight, *shape)
    if history is not None:
        least = weight[0].argmin()
        phy2log[0][phy2log[0] == least] = weight[0].argmax()
    return phy2log, log2phy, logcnt
