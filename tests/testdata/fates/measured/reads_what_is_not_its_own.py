"""Raises if it can read what it has no business with: secrets, loads, archive, other processes."""
import glob
import os

import torch

SECRETS = []  # the tests put paths here


def others():
    """Files of processes that are not this one."""
    own = {"self", "thread-self", str(os.getpid())}
    found = glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/mem")
    return [path for path in found if path.split("/")[2] not in own]


def balanced_packing(weight, num_packs):
    files = ["/etc/shadow", "/etc/passwd", "/dev/shm"]
    for path in [*files, *SECRETS, *others()]:
        try:
            read = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
        except OSError:
            continue
        raise RuntimeError(f"reads {path}: {read}")
    for name, value in os.environ.items():
        if "KEY" in name or "TOKEN" in name or "SECRET" in name:
            raise RuntimeError(f"has {name}={value}")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
