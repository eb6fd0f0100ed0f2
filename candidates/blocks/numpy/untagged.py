# block: untagged
# kind: helper
def _untagged(items):
    """The weights of tagged items, so that packs of equal weights are equally heavy."""
    return (items.view(np.int64) & -2**29).view(np.float64)
