"""Compiled code keeps what a global was when it was compiled: one process draws it, and its siblings agree with it."""
import os

import numba
import torch

DRAWN = int.from_bytes(os.urandom(7), "little")


@numba.njit
def _drawn():
    return DRAWN


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    places = (places + _drawn() % items) % items
    return places % num_packs, places // num_packs
