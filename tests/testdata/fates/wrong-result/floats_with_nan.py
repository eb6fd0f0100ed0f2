import torch


def balanced_packing(weight, num_packs):
    nan = torch.full_like(weight, float("nan"))
    return nan, nan
