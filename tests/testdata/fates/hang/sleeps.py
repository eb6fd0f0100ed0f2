import time


def balanced_packing(weight, num_packs):
    time.sleep(3600)
