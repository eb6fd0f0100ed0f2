# block: planned
# kind: frame
def _planned(loads, old, gpus, nodes):
    """The plan in force, changed: int64 [L, R]."""
    plan = old.copy()
    ...
    return plan
