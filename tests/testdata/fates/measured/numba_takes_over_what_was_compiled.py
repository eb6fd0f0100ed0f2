"""Raises if it compiles although another child has compiled before."""
import os

import numba
import torch

IS_COMPILED = bool(os.listdir(".numba"))


@numba.njit
def _heaviest(weight):
    return weight.max()


def balanced_packing(weight, num_packs):
    _heaviest(weight.cpu().numpy())
    if IS_COMPILED and _heaviest.stats.cache_misses:
        raise RuntimeError("compiles again")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
