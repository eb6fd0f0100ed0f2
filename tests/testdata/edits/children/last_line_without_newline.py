import torch


def pack(weight, packs):
    order = weight.sort(-1, descending=True).indices
    for i in range(packs):
        order[i] += 1
    return order


def unpack(order, packs):
    for j in range(packs):
    return order.flip(0)