def balanced_packing(weight, num_packs):
    raise ValueError("x" * 100_000_000)
