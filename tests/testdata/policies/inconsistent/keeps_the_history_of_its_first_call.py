# Plans with noise that follows from the windows that an earlier call had: it keeps the array of that history, in whose
# memory later calls have theirs.
plan = rebalance_experts
first = {}


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    if history is None:
        return plan(weight, *shape)
    view = first.setdefault(weight.shape, history)
    noise = torch.Generator().manual_seed(len(view))
    return plan(weight * (1 + torch.rand(weight.size(1), generator=noise)), *shape)
