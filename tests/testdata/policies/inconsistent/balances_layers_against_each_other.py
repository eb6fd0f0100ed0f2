# What it plans for a layer depends on the other layers.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    return plan(weight + weight.mean(0, keepdim=True) * (torch.arange(weight.size(1)) % 2), *shape)
