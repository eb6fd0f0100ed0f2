# block: order_noisy
# kind: order
# needs: rising
# says: heaviest first by weights with {noise} noise
# noise: 0.01 0.02 0.05 0.1 0.2
def _order_noisy(items, num_packs, noise):
    """Heaviest first, after multiplying each weight by a random factor of up to `1 + noise`, the same in every row."""
    factor = 1 + noise * np.random.default_rng(1).random(items.shape[1])
    return np.take_along_axis(items, _rising(items * factor)[:, ::-1], 1)
