"""Raises if it can leave or change a file anywhere but in its scratch folder."""
import os
import sys
import sysconfig

import torch

NAME = "packevolve-left-behind"
FOLDERS = ["/", "/tmp", "/var/tmp", "/dev/shm", "/root", "/usr/lib", "/run", sysconfig.get_paths()["purelib"]]
FILES = ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/self/oom_score_adj", os.__file__]


def balanced_packing(weight, num_packs):
    for path in [os.path.join(folder, NAME) for folder in FOLDERS] + FILES:
        try:
            open(path, "a").close()
        except OSError:
            pass
        else:
            raise RuntimeError(f"writes {path}")
    for act in (os.chmod, os.chown):
        try:
            act(os.__file__, *([0o777] if act is os.chmod else [os.getuid(), -1]))
        except OSError:
            pass
        else:
            raise RuntimeError(f"{act.__name__} of {os.__file__}")
    if sys.flags.dont_write_bytecode == 0:
        raise RuntimeError("Python writes bytecode")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
