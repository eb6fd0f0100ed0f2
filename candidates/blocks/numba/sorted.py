# block: sorted
# kind: frame
# needs: tagged
def _sorted(weight):
    """The items of each row as tagged weights, heaviest first, and of equal ones the first first: float64 [rows, items].

    Sorts 32 bits an item, which takes half the time of 64: the number of the item replaces the lowest bits of the
    weight. `_tagged` puts right those that this leaves too close to tell.
    """
    weights = weight.detach().cpu().float().contiguous().numpy()
    low = (1 << (weights.shape[1] - 1).bit_length()) - 1
    # The bits of a positive float32 sort like it does; inverted ones the other way round.
    keys = ~weights.view(np.int32)
    keys &= ~low
    keys |= np.arange(weights.shape[1], dtype=np.int32)
    keys.sort(1)
    keys &= low
    return _tagged(keys, weights)
