"""Sorts ties as NumPy does by default, which differs with its vectors."""
import numpy
import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    order = torch.from_numpy(numpy.argsort(weight.cpu().numpy(), -1)).to(weight.device)
    places = torch.arange(items, device=weight.device).expand(rows, items)
    pack_index = torch.empty_like(order).scatter_(1, order, places % num_packs)
    rank_in_pack = torch.empty_like(order).scatter_(1, order, places // num_packs)
    return pack_index, rank_in_pack
