def balanced_packing(weight, num_packs):
    raise ValueError(f"no packing for {num_packs} packs")
