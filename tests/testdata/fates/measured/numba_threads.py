"""Works in threads of Numba, each of which is charged: 30 ms of hard work in every call."""
import time

import numba
import numpy as np
import torch


@numba.njit(parallel=True)
def _work(sums, count):
    for part in numba.prange(len(sums)):
        x = 1.0
        for step in range(count):
            x = x * 0.999999 + 1e-7
        sums[part] = x


def balanced_packing(weight, num_packs):
    sums, started = np.zeros(4), time.process_time()
    while time.process_time() - started < 0.03:
        _work(sums, 100_000)
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
