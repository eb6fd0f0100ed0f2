"""Calls back into Python from compiled code: valid, and charged like any other code."""
import numba
import numpy as np
import torch


@numba.njit
def _deal(items, packs):
    with numba.objmode(order="int64[:]"):
        order = np.arange(items)[::-1].copy()
    return order % packs, order // packs


def balanced_packing(weight, num_packs):
    pack, rank = _deal(weight.shape[1], num_packs)
    shape = weight.shape
    return torch.from_numpy(pack).expand(shape), torch.from_numpy(rank).expand(shape)
