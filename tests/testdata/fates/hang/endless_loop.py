def balanced_packing(weight, num_packs):
    while True:
        pass
