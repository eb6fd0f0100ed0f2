import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, torch.zeros(rows, items, dtype=torch.int64)
