"""Raises if it can move to another CPU or raise its share of this one."""
import os

import torch


def balanced_packing(weight, num_packs):
    for act, arguments in (
        (os.sched_setaffinity, (0, os.sched_getaffinity(0))),
        (os.sched_setscheduler, (0, os.SCHED_FIFO, os.sched_param(1))),
        (os.setpriority, (os.PRIO_PROCESS, 0, -5)),
    ):
        try:
            act(*arguments)
        except OSError:
            pass
        else:
            raise RuntimeError(act.__name__)
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
