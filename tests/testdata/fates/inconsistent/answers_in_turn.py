"""Turns its packs round with every call: another answer each time, though its input is the same."""
import torch

calls = 0


def balanced_packing(weight, num_packs):
    global calls
    calls += 1
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return (places + calls) % num_packs, places // num_packs
