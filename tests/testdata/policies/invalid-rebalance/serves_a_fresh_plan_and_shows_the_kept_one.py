# Shows the plan in force, of which nothing moves, beside the counts and lists of a fresh one, by which tokens would go.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    phy2log, log2phy, logcnt = plan(weight, *shape)
    return (phy2log if history is None or len(history) < 3 else old_phy2log), log2phy, logcnt
