# block: pack
# kind: frame
def _pack(items, bound, num_packs):
    """One attempt at all rows: `items` in order, into packs, and those refined."""
    ...
    return packs, loads
