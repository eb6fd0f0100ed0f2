import os


def balanced_packing(weight, num_packs):
    os.abort()
