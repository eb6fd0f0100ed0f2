def balanced_packing(weight, num_packs)
    return None
