"""Cannot be loaded where torch has another number of threads."""
import torch

assert torch.get_num_threads() == 1


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    places = torch.arange(items, device=weight.device).expand(rows, items)
    return places % num_packs, places // num_packs
