# block: order_noisy
# kind: order
# needs: noisy
# says: heaviest first by weights with {noise} noise
# noise: 0.01 0.02 0.05 0.1 0.2
@njit
def _order_noisy(items, num_packs, noise):
    """Heaviest first, after multiplying each weight by a factor of up to `1 + noise`, the same in every row."""
    return _noisy(items, noise, 1)
