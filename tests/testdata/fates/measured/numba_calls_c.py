"""Calls the C library from compiled code: the jail holds there, too. Raises if a call succeeds."""
import ctypes

import numba
import numpy as np
import torch

LIBC = ctypes.CDLL(None)
SOCKET, KILL, FORK, OPEN = LIBC.socket, LIBC.kill, LIBC.fork, LIBC.open
for function, arguments in ((SOCKET, 3), (KILL, 2), (FORK, 0), (OPEN, 2)):
    function.argtypes = [ctypes.c_int] * arguments
    function.restype = ctypes.c_int
OPEN.argtypes = [ctypes.c_void_p, ctypes.c_int]
PATH = ctypes.create_string_buffer(b"/packevolve-left-behind")
ADDRESS = ctypes.addressof(PATH)


@numba.njit
def _try_all(results):
    results[0] = SOCKET(2, 1, 0)
    results[1] = KILL(2, 9)
    results[2] = FORK()
    results[3] = OPEN(ADDRESS, 0o101)


def balanced_packing(weight, num_packs):
    results = np.zeros(4, np.int64)
    _try_all(results)
    if (results >= 0).any():
        raise RuntimeError(f"these calls succeed: {results}")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
