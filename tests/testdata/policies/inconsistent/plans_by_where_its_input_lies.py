# Plans by the address of the plan in force, which every rank has elsewhere.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    place = 0 if old_phy2log is None else old_phy2log.data_ptr()
    noise = torch.Generator().manual_seed(place)
    return plan(weight * (1 + torch.rand(weight.size(1), generator=noise)), *shape)
