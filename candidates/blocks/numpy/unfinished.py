# block: unfinished
# kind: helper
def _unfinished(packs, loads, bound, tolerance):
    """The rows with a pack above the bound by more than a share of `tolerance`: as a mask, and those rows alone."""
    size, (rows, num_packs) = len(packs), loads.shape
    which = np.flatnonzero(loads.max(1) > bound * (1 + tolerance))
    part = packs.reshape(size, rows, num_packs).take(which, 1).reshape(size, -1)
    return which, part, loads[which]
