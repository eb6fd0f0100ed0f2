"""Starts a helper whose main thread ends, which makes it look like a process that has ended, and raises if it is still
there in a call that counts."""

import ctypes
import mmap
import os
import threading
import time

import torch

EXIT_THREAD = 60
board = os.open("board", os.O_RDWR | os.O_CREAT)
os.ftruncate(board, mmap.PAGESIZE)
ticks = mmap.mmap(board, mmap.PAGESIZE)


def tick():
    while True:
        ticks[0] = (ticks[0] + 1) % 256
        time.sleep(0.0001)


if os.fork() == 0:
    threading.Thread(target=tick).start()
    ctypes.CDLL(None).syscall(EXIT_THREAD, 0)
# On a busy machine it takes more than a moment.
for _ in range(100):
    was_there = ticks[0] != 0
    if was_there:
        break
    time.sleep(0.05)


def balanced_packing(weight, num_packs):
    # The calls before have small weights, but for a giant among 24.
    if weight.numel() != 24 and weight.max() > 2000:
        now = ticks[0]
        time.sleep(0.05)
        if ticks[0] != now:
            raise RuntimeError("the helper is still there")
        if not was_there:
            raise RuntimeError("there was no helper")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
