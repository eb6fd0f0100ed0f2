"""Draws from what the judge does not seed."""
import os

import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    generator = torch.Generator().manual_seed(int.from_bytes(os.urandom(7), "little"))
    order = torch.rand(rows, items, generator=generator).argsort(-1)
    return order % num_packs, order // num_packs
