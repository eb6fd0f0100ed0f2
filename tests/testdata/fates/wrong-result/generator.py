def balanced_packing(weight, num_packs):
    yield weight
    yield weight
