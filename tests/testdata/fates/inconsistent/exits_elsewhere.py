"""Ends its process where torch has another number of threads."""
import os

import torch


def balanced_packing(weight, num_packs):
    if torch.get_num_threads() != 1:
        os._exit(3)
    rows, items = weight.shape
    places = torch.arange(items, device=weight.device).expand(rows, items)
    return places % num_packs, places // num_packs
