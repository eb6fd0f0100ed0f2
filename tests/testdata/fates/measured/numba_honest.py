"""Each item goes to the lightest pack that has room, compiled."""
import numba
import numpy as np
import torch


@numba.njit
def _lightest(order, weight, loads, pack_index, rank_in_pack):
    rows, items = weight.shape
    size = items // loads.shape[1]
    sizes = np.zeros(loads.shape, np.int64)
    for row in range(rows):
        for item in order[row]:
            best = -1
            for pack in range(loads.shape[1]):
                if sizes[row, pack] < size and (best < 0 or loads[row, pack] < loads[row, best]):
                    best = pack
            pack_index[row, item] = best
            rank_in_pack[row, item] = sizes[row, best]
            sizes[row, best] += 1
            loads[row, best] += weight[row, item]


def balanced_packing(weight, num_packs):
    loads = np.zeros((weight.shape[0], num_packs))
    pack_index = torch.empty(weight.shape, dtype=torch.int64)
    rank_in_pack = torch.empty(weight.shape, dtype=torch.int64)
    order = weight.cpu().sort(dim=-1, descending=True, stable=True).indices
    _lightest(order.numpy(), weight.cpu().numpy(), loads, pack_index.numpy(), rank_in_pack.numpy())
    return pack_index, rank_in_pack
