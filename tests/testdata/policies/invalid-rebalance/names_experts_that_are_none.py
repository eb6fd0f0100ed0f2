# All replicas of the hottest expert have a number that no expert has: its load would vanish.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    phy2log, log2phy, logcnt = plan(weight, *shape)
    if history is not None and len(history) > 2:
        hottest = weight.argmax(1, keepdim=True)
        phy2log = torch.where(phy2log == hottest, weight.size(1), phy2log)
    return phy2log, log2phy, logcnt
