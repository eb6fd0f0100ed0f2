# block: renew_exact
# kind: renew
# needs: heaviest improvable assigned renamed
# says: a fresh plan, its nodes and GPUs named so that most replicas stay, for each layer in which it makes the heaviest GPU {gain} lighter for each tenth of the replicas that it moves, at least for one tenth
# gain: 0.002 0.005 0.01 0.02 0.05
def _renew_exact(plan, fresh, old, loads, gpus, nodes, gain):
    """The layers of a fresh plan where they are better by enough for what they move beyond the plan that they replace.
    `fresh` plans by loads."""
    heaviest = _heaviest(plan, loads, gpus)
    tried, can_pay = _improvable(heaviest, loads, gpus, gain)
    better, before = fresh(loads[tried]), old[tried]
    lightest = _heaviest(better, loads[tried], gpus)
    better = _renamed(better, before, loads.shape[1], gpus, nodes, _assigned)
    tenths = 10 * ((better != before).mean(1) - (plan[tried] != before).mean(1))
    pays = can_pay & (lightest < (1 - gain * np.maximum(tenths, 1)) * heaviest[tried])
    plan[tried[pays]] = better[pays]
    return plan
