# block: best_swap
# kind: helper
def _best_swap(heavy, light, half):
    """For each pair of packs, the swap that brings the first of them closest to `half` less load.

    heavy, light: tagged weights of the packs, [size, pairs]; half: [pairs].
    Returns the ranks of the two items to swap and the distance that remains, each [pairs].
    """
    size, pairs = heavy.shape
    wanted = (heavy - half).astype(np.float32)
    distance = wanted[:, None, :] - light.astype(np.float32)[None]
    # The bits of a positive float32 sort like it does. Its lowest ones make room for the number of the swap, so that a
    # minimum, which is much faster than an argmin along the first axis, finds both.
    low = (1 << (size * size - 1).bit_length()) - 1
    key = distance.view(np.int32).reshape(size * size, pairs)
    key &= 0x7FFFFFFF & ~low
    key |= np.arange(size * size, dtype=np.int32)[:, None]
    best = key.min(0)
    swap = best & low
    return swap // size, swap % size, (best & ~low).view(np.float32)
