"""The reference program, timed right after each call of a candidate. It is frozen: never edited, never searched.

A vectorised greedy packing, with the same mix of small torch operations as the candidates. Its time varies with the
machine and its load as theirs does, so the ratio of both times does not.
"""

import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    capacity = items // num_packs
    order = weight.argsort(-1, descending=True)
    sorted_weight = weight.gather(1, order)
    device = weight.device
    load = torch.zeros(rows, num_packs, device=device)
    count = torch.zeros(rows, num_packs, dtype=torch.int64, device=device)
    pack_index = torch.zeros(rows, items, dtype=torch.int64, device=device)
    rank_in_pack = torch.zeros(rows, items, dtype=torch.int64, device=device)
    full = torch.tensor(float("inf"), device=device)
    one = torch.ones(rows, 1, dtype=torch.int64, device=device)
    for i in range(items):
        pack = torch.where(count < capacity, load, full).argmin(1, keepdim=True)
        item = order[:, i : i + 1]
        pack_index.scatter_(1, item, pack)
        rank_in_pack.scatter_(1, item, count.gather(1, pack))
        load.scatter_add_(1, pack, sorted_weight[:, i : i + 1])
        count.scatter_add_(1, pack, one)
    return pack_index, rank_in_pack
