# block: improvable
# kind: helper
def _improvable(heaviest, loads, gpus, gain):
    """The layers to plan afresh, and whether that can make the heaviest GPU of each one `gain` lighter: in no plan does it weigh
    less than the mean. If it can nowhere, one layer is planned all the same, so that the first call compiles all that a later
    one needs."""
    room = (1 - gain) * heaviest - loads.sum(1) / gpus
    tried = np.flatnonzero(room >= min(0, room.max()))
    return tried, room[tried] >= 0
