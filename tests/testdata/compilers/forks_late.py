"""Keeps forking while so many threads spin that a fork which was still allowed happens much later, and raises if one of
its helpers is there in a call that counts."""

import ctypes
import mmap
import os
import subprocess
import time

import torch

SOURCE = r"""
#include <pthread.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile unsigned char *board;
static void *spin(void *unused) { for (;;) if (board[1]) usleep(1000); }
static void *keep_forking(void *unused) {
    for (;;) {
        int pid = fork();
        if (pid == 0) {
            struct sysinfo unused;
            usleep(500);
            /* Only before the seal does this call succeed. After it, this process is there to stay. */
            while (sysinfo(&unused) < 0) { board[0]++; usleep(100); }
            _exit(0);
        }
        if (pid > 0) waitpid(pid, 0, 0);
    }
}
void begin(unsigned char *place) {
    pthread_t thread;
    board = place;
    for (int i = 0; i < 8; i++) pthread_create(&thread, 0, spin, 0);
    for (int i = 0; i < 2; i++) pthread_create(&thread, 0, keep_forking, 0);
}
"""
with open("late.c", "w") as file:
    file.write(SOURCE)
subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-pthread", "-o", "late.so", "late.c"], check=True)
file = os.open("board", os.O_RDWR | os.O_CREAT)
os.ftruncate(file, mmap.PAGESIZE)
board = mmap.mmap(file, mmap.PAGESIZE)
library = ctypes.CDLL(os.path.abspath("late.so"))
calls = 0
BEGIN_AT = 9


def balanced_packing(weight, num_packs):
    global calls
    calls += 1
    # The last of the calls before those that count; then helpers are few enough for the limit of threads.
    if calls == BEGIN_AT:
        library.begin(ctypes.byref(ctypes.c_char.from_buffer(board)))
        time.sleep(0.002)
    # The calls before have small weights, but for a giant among 24.
    if weight.numel() != 24 and weight.max() > 2000:
        board[1] = 1
        now = board[0]
        time.sleep(0.05)
        if board[0] != now:
            raise RuntimeError("a helper is there")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
