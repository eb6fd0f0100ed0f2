# block: most
# kind: helper
@njit
def _most(loads, row):
    """The load of the heaviest pack of a row."""
    most = 0.0
    for pack in range(loads.shape[1]):
        most = max(most, loads[row, pack])
    return most
