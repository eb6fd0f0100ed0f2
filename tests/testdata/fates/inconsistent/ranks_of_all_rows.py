"""Always gives the same packs, but in them the places that all rows together decide on."""
import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    places = torch.arange(items, device=weight.device).expand(rows, items)
    turned = (places // num_packs + weight.double().sum().long()) % (items // num_packs)
    return places % num_packs, turned
