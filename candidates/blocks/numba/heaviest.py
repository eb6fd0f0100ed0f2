# block: heaviest
# kind: helper
@njit
def _heaviest(sums):
    """The first of the heaviest packs, in two loops that become vector instructions."""
    most = np.int32(0)
    for pack in range(len(sums)):
        most = max(most, sums[pack])
    heavy = np.int32(len(sums) - 1)
    for pack in range(len(sums)):
        heavy = min(heavy, np.int32(pack) if sums[pack] == most else np.int32(2**30))
    return heavy
