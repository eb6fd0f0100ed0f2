# From a plan, it lists a replica for an expert twice, so that load would vanish where the maps are believed.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    phy2log, log2phy, logcnt = plan(weight, *shape)
    if history is not None:
        expert = logcnt[0].argmax()
        log2phy[0, expert, 1] = log2phy[0, expert, 0]
    return phy2log, log2phy, logcnt
