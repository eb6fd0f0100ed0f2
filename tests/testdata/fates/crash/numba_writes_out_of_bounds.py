"""Compiled code checks no bounds: this kills the child and nothing else."""
import numba
import numpy as np


@numba.njit
def _far(array):
    for at in range(0, 1 << 40, 4096):
        array[at] = 1


def balanced_packing(weight, num_packs):
    _far(np.zeros(8, np.int64))
