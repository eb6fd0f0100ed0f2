# What torch raises where a GPU has no memory left, or no more of its share.
import torch


def balanced_packing(weight, num_packs):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 GiB.")
