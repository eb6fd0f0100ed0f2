# block: fresh_refined
# kind: fresh
# needs: fresh_greedy move_heaviest
# says: a fresh plan by greedy replication and packing, improved by up to {steps} operations on the heaviest GPU
# steps: 8 16 32 64
def _fresh_refined(loads, replicas, groups, nodes, gpus, steps):
    """A plan from nothing, int64 [L, R], improved like one in force, but at no price."""
    plan = _fresh_greedy(loads, replicas, groups, nodes, gpus)
    _move_heaviest(plan, plan.copy(), loads, gpus, nodes, steps=steps, price=0.0, among=8, start=0.0, goal=0.0001)
    return plan
