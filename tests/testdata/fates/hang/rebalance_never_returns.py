"""Packs, and does not come back from a rebalance."""
import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):
    while True:
        pass
