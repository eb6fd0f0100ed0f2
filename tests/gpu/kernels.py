"""What a packing call costs on a device: the whole call, from host memory to host memory, and on a GPU what of it is
kernels. The rest is launches, copies and waiting. A program that imports Numba is skipped where Python lacks it.

usage: python kernels.py DEVICE PROGRAM...
"""

import importlib.util
import statistics
import sys
import time
from pathlib import Path

import torch

# Rows, items and packs of one rebalance of DeepSeek-V3 on 32 GPUs of 4 nodes.
UNIT = ((58, 8, 4), (232, 72, 8))
CALLS = 5
# Programs that take longer than this say little about a GPU.
MOST_SECONDS = 5.0


def load(path):
    spec = importlib.util.spec_from_file_location("candidate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.balanced_packing


def call(packing, weight, packs, device):
    pack, rank = packing(weight.to(device), packs)
    return pack.cpu(), rank.cpu()


def kernels(packing, weight, packs, device):
    """Returns the number of kernels and copies of one call, and their time in seconds."""
    if device.type != "cuda":
        return 0, 0.0
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call(packing, weight, packs, device)
        torch.cuda.synchronize(device)
    events = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    return len(events), sum(event.time_range.elapsed_us() for event in events) / 1e6


def measure(packing, device):
    """Returns seconds of the unit, the number of its kernels, and their seconds."""
    whole, count, busy = 0.0, 0, 0.0
    for rows, items, packs in UNIT:
        weight = torch.empty(rows, items).exponential_().mul_(1000).round_()
        began = time.perf_counter()
        call(packing, weight, packs, device)
        if time.perf_counter() - began > MOST_SECONDS:
            raise TimeoutError(f"a call takes more than {MOST_SECONDS} s")
        times = []
        for _ in range(CALLS):
            began = time.perf_counter()
            call(packing, weight, packs, device)
            times.append(time.perf_counter() - began)
        launched, seconds = kernels(packing, weight, packs, device)
        whole, count, busy = whole + statistics.median(times), count + launched, busy + seconds
    return whole, count, busy


def main():
    device = torch.device(sys.argv[1])
    torch.set_num_threads(1)
    print(f"{'the unit on ' + str(device):<40}{'call, ms':>10}{'kernels':>9}{'of them, ms':>13}{'the rest, ms':>14}")
    failed = False
    for path in map(Path, sys.argv[2:]):
        if not path.exists():
            continue
        try:
            whole, count, busy = measure(load(path), device)
            print(f"{path.name:<40}{1e3 * whole:>10.2f}{count:>9}{1e3 * busy:>13.2f}{1e3 * (whole - busy):>14.2f}")
        except TimeoutError as error:
            print(f"{path.name:<40}{error}")
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "numba":
                print(f"skipped: {path.name} needs Numba, which this Python lacks")
                continue
            failed = True
            print(f"{path.name:<40}{type(error).__name__}: {error}")
    sys.exit(failed)


main()
