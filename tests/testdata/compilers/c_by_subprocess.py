"""Packs in C, which it compiles while it is loaded."""

import ctypes
import os
import subprocess
import tempfile

import torch

SOURCE = """
void in_order(long rows, long items, long per_pack, long *pack_index, long *rank_in_pack)
{
    for (long at = 0; at < rows * items; at++) {
        pack_index[at] = at % items / per_pack;
        rank_in_pack[at] = at % items % per_pack;
    }
}
"""
FOLDER = tempfile.mkdtemp()
with open(os.path.join(FOLDER, "pack.c"), "w") as file:
    file.write(SOURCE)
LIBRARY = os.path.join(FOLDER, "pack.so")
subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", LIBRARY, os.path.join(FOLDER, "pack.c")], check=True)
PACK = ctypes.CDLL(LIBRARY).in_order


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    pack_index = torch.empty(rows, items, dtype=torch.int64)
    rank_in_pack = torch.empty(rows, items, dtype=torch.int64)
    sizes = [ctypes.c_long(size) for size in (rows, items, items // num_packs)]
    PACK(*sizes, ctypes.c_void_p(pack_index.data_ptr()), ctypes.c_void_p(rank_in_pack.data_ptr()))
    return pack_index, rank_in_pack
