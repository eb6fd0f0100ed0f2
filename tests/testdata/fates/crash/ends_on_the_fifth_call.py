import os

import torch

calls = 0


def balanced_packing(weight, num_packs):
    global calls
    calls += 1
    if calls == 5:
        os._exit(3)
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
