# Makes a fresh plan and writes it over the one in force where it can do so unseen: in a copy. What is moved follows from
# the judge's own copy of both.
plan = rebalance_experts


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    made = plan(weight, *shape)
    if old_phy2log is not None:
        kept = old_phy2log.clone()
        kept.copy_(made[0])
        return kept, made[1], made[2]
    return made
