"""Breaks ties in the order of a set of strings."""
import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    order = torch.tensor([int(name) for name in {str(item) for item in range(items)}], device=weight.device)
    places = torch.arange(items, device=weight.device)
    pack_index = torch.empty_like(order).scatter_(0, order, places % num_packs)
    rank_in_pack = torch.empty_like(order).scatter_(0, order, places // num_packs)
    return pack_index.expand(rows, items), rank_in_pack.expand(rows, items)
