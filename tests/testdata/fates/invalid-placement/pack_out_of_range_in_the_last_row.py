import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    pack_index = (places % num_packs).clone()
    pack_index[-1, -1] = num_packs
    return pack_index, places // num_packs
