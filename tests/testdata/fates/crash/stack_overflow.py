import ctypes
import sys

sys.setrecursionlimit(1 << 30)


@ctypes.CFUNCTYPE(ctypes.c_int)
def deeper():
    return deeper()


def balanced_packing(weight, num_packs):
    deeper()
