# block: rising
# kind: helper
def _rising(values):
    """The columns of each row in rising order of its `values`, which are positive; of equal values the first first.

    The bits of a positive float64 sort like it does. Its lowest ones make room for the number of the column, so that no
    two are equal and any sort has one result. An argsort leaves the order of equal values to the processor.
    """
    count = values.shape[1]
    low = (1 << (count - 1).bit_length()) - 1
    keys = values.view(np.int64) & ~low
    keys |= np.arange(count)
    keys.sort(1)
    keys &= low
    return keys
