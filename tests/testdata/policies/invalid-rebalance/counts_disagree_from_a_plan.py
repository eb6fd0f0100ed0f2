# Honest with nothing in force. From a plan, it counts a replica that the hottest expert does not have.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    phy2log, log2phy, logcnt = plan(weight, *shape)
    if history is not None:
        logcnt[0, weight[0].argmax()] += 1
    return phy2log, log2phy, logcnt
