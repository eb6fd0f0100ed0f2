# block: assign_dealt
# kind: assign
# says: items dealt out in turn, regardless of loads
def _assign_dealt(items, num_packs):
    """Deal items out in turn, regardless of loads."""
    rows, count = items.shape
    packs = items.reshape(rows, count // num_packs, num_packs).transpose(1, 0, 2).reshape(-1, rows * num_packs)
    packs = np.ascontiguousarray(packs)
    return packs, packs.sum(0).reshape(rows, num_packs)
