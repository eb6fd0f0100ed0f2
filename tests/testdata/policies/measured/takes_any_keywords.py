plan = rebalance_experts


def rebalance_experts(*arguments, **keywords):
    return plan(*arguments, **keywords)
