"""Round by round, each pack gets one item: valid and quick."""
import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    order = weight.argsort(-1, descending=True)
    places = torch.arange(items, device=weight.device).expand(rows, items)
    pack_index = torch.empty_like(order).scatter_(1, order, places % num_packs)
    rank_in_pack = torch.empty_like(order).scatter_(1, order, places // num_packs)
    return pack_index, rank_in_pack
