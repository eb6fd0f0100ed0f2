"""Compiles, and then never ends. Nothing but the judge can stop it: Numba's functions do not look for signals."""
import numba
import torch


@numba.njit
def _wait(loads):
    while loads[0, 0] >= 0:
        loads[0, 0] += 1
    return loads


def balanced_packing(weight, num_packs):
    _wait(weight.cpu().double().numpy())
    return torch.empty(weight.shape, dtype=torch.int64), torch.empty(weight.shape, dtype=torch.int64)
