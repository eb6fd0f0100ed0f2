# block: renew_exact
# kind: renew
# needs: heaviest assigned renamed
# says: a fresh plan, its nodes and GPUs named so that most replicas stay, for each layer in which it makes the heaviest GPU {gain} lighter for each tenth of the replicas that it moves
# gain: 0.002 0.005 0.01 0.02 0.05
def _renew_exact(plan, fresh, old, loads, gpus, nodes, gain):
    """The layers of a fresh plan where they are better by enough for what they move beyond the plan that they replace."""
    fresh = _renamed(fresh, old, loads.shape[1], gpus, nodes, _assigned)
    tenths = 10 * ((fresh != old).mean(1) - (plan != old).mean(1))
    pays = _heaviest(fresh, loads, gpus) < (1 - gain * np.maximum(tenths, 0)) * _heaviest(plan, loads, gpus)
    plan[pays] = fresh[pays]
    return plan
