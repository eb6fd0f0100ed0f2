"""Turns the packs of each row by the load of all rows together."""
import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    places = torch.arange(items, device=weight.device).expand(rows, items)
    return (places + weight.double().sum().long()) % num_packs, places // num_packs
