# block: sorted
# kind: frame
def _sorted(weight):
    """The items of each row as tagged weights, heaviest first, and of equal ones the first first: float64 [rows, items].

    A float32 leaves the low 29 bits of a float64 empty: the number of the item, counted from the last, goes there, so
    that one array carries both and a sort needs no gather. A tag is far below what a float32 can tell.
    """
    least = np.float32(1e-30)  # A weight of zero would become a denormal, which is slow to compute with.
    tagged = np.maximum(weight.detach().cpu().float().numpy(), least).astype(np.float64)
    numbers = tagged.view(np.int64)
    numbers |= np.arange(tagged.shape[1])[::-1]
    tagged.sort(1)
    return tagged[:, ::-1]
