"""Raises if modules could come from the current folder or a user's own, or if Python took settings from outside."""
import os
import sys

import torch


def balanced_packing(weight, num_packs):
    if not sys.flags.no_user_site or not all(os.path.isabs(path) and path != "/" for path in sys.path):
        raise RuntimeError(f"imports from {sys.path}")
    settings = {name for name in os.environ if name.startswith("PYTHON")}
    if settings != {"PYTHONHASHSEED", "PYTHONSAFEPATH"}:
        raise RuntimeError(f"started with {settings}")
    rows, items = weight.shape
    places = torch.arange(items, device=weight.device).expand(rows, items)
    return places % num_packs, places // num_packs
