# block: move_back
# kind: move
# needs: heaviest
# says: back to the plan in force where the moves before make the heaviest GPU of a layer less than {gain} lighter, so that layers do not change back and forth
# gain: 0.001 0.003 0.01 0.03
def _move_back(plan, old, loads, gpus, nodes, gain):
    """Leave a layer as it was, unless what was changed is worth it: hysteresis."""
    little = _heaviest(plan, loads, gpus) > (1 - gain) * _heaviest(old, loads, gpus)
    plan[little] = old[little]
