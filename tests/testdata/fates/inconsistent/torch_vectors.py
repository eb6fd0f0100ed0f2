"""Turns the packs of a row by the last bits of a function that torch computes in another way with other vectors."""
import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    shares = weight / (weight.amax(1, keepdim=True) + 1)
    last_bits = shares.lgamma().view(torch.int32).long().sum(1, keepdim=True)
    places = torch.arange(items, device=weight.device).expand(rows, items)
    return (places + last_bits) % num_packs, places // num_packs
