# Plans afresh in every other call alone.
plan = rebalance_experts
calls = 0


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    global calls
    calls += 1
    return plan(weight.flip(1).contiguous().flip(1) if calls % 2 else weight * (1 + torch.arange(weight.size(1)) % 3), *shape)
