# block: unfinished
# kind: helper
def _unfinished(loads, bound, tolerance):
    """The rows with a pack above the bound by more than a share of `tolerance`."""
    return np.flatnonzero(loads.max(1) > bound * (1 + tolerance))
