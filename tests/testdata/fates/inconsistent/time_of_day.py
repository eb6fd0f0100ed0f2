"""Draws its packing by the clock."""
import time

import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    generator = torch.Generator().manual_seed(time.time_ns())
    order = torch.rand(items, generator=generator).argsort().to(weight.device).expand(rows, items)
    return order % num_packs, order // num_packs
