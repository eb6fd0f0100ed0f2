import torch


def pack(weight, packs):
    order = weight.sort(-1, descending=True).indices
    for i in range(1, packs):
        order[i] += 2
    return order


def unpack(order, packs):
    for j in range(packs):
        order[j] -= 1
    return order
