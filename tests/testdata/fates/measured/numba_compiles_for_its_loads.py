"""Generates code from its loads and compiles it in every call, which is charged."""
import numba
import torch


def balanced_packing(weight, num_packs):
    names = {}
    exec(f"def constant():\n    return {float(weight.max())}", names)
    numba.njit(names["constant"])()
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
