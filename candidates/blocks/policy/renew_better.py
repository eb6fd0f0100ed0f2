# block: renew_better
# kind: renew
# needs: heaviest improvable matched renamed
# says: a fresh plan, its nodes and GPUs named by what they hold, the best pair first, for each layer in which it makes the heaviest GPU {gain} lighter
# gain: 0.01 0.02 0.05 0.1 0.2
def _renew_better(plan, fresh, old, loads, gpus, nodes, gain):
    """The layers of a fresh plan where they are better by enough to be worth their moves. `fresh` plans by loads."""
    heaviest = _heaviest(plan, loads, gpus)
    tried, can_pay = _improvable(heaviest, loads, gpus, gain)
    better = fresh(loads[tried])
    pays = can_pay & (_heaviest(better, loads[tried], gpus) < (1 - gain) * heaviest[tried])
    plan[tried[pays]] = _renamed(better[pays], old[tried[pays]], loads.shape[1], gpus, nodes, _matched)
    return plan
