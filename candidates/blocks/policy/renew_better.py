# block: renew_better
# kind: renew
# needs: heaviest matched renamed
# says: a fresh plan, its nodes and GPUs named by what they hold, the best pair first, for each layer in which it makes the heaviest GPU {gain} lighter
# gain: 0.01 0.02 0.05 0.1 0.2
def _renew_better(plan, fresh, old, loads, gpus, nodes, gain):
    """The layers of a fresh plan where they are better by enough to be worth their moves."""
    pays = _heaviest(fresh, loads, gpus) < (1 - gain) * _heaviest(plan, loads, gpus)
    # Even if none pays, so that the first call compiles all that a later one needs.
    plan[pays] = _renamed(fresh[pays], old[pays], loads.shape[1], gpus, nodes, _matched)
    return plan
