"""Raises if it finds a GPU in a session on the CPU, whose clock would not see what it does there."""
import ctypes
import glob
import os

import torch

VISIBLE = os.environ.pop("CUDA_VISIBLE_DEVICES", None)


def found():
    yield from glob.glob("/dev/nvidia*")
    yield from glob.glob("/dev/dxg")
    yield from glob.glob("/dev/dri*")
    yield from glob.glob("/proc/driver/nvidia*")
    if VISIBLE != "":
        yield f"CUDA_VISIBLE_DEVICES: {VISIBLE}"
    if torch.cuda.is_available():
        yield "torch.cuda"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return
    if driver.cuInit(0) == 0:
        yield "a driver that works"


def balanced_packing(weight, num_packs):
    for what in found():
        raise RuntimeError(what)
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
