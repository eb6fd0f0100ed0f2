"""Raises if a system call works that no candidate needs: namespaces, mounts, keys, io_uring, bpf, memfd, timers, locks and
whatever else another child could notice ..."""
import ctypes
import os
import platform

import torch

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNS, SIGCHLD = 0x10000000, 0x20000, 17
F_GETLK, F_SETLK, F_OFD_SETLK, F_SETLEASE, MADV_PAGEOUT = 5, 6, 37, 1024, 21
file = os.open(os.__file__, os.O_RDONLY)
room = ctypes.create_string_buffer(4096)
page = ctypes.addressof(room) + 4095 & ~4095
# Numbers of x86-64; on other machines other calls are made, which is as good.
CALLS = {
    "unshare user": (272, CLONE_NEWUSER),
    "unshare mount": (272, CLONE_NEWNS),
    "clone": (56, SIGCHLD, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "vfork": (58,),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "add_key": (248, b"user", b"name", b"value", 5, -2),
    "io_uring_setup": (425, 4, ctypes.create_string_buffer(120)),
    "userfaultfd": (323, 1),
    "memfd_create": (319, b"name", 0),
    "shmget": (29, 0, 4096, 0o1600),
    "mount": (165, b"none", b"/scratch", b"tmpfs", 0, 0),
    "umount": (166, b"/proc", 2),
    "chroot": (161, b"/scratch"),
    "pidfd_open": (434, 1, 0),
    "setsid": (112,),
    "prctl pdeathsig": (157, 1, 0),
    "timer_create": (222, 1, 0, room),
    "timerfd_create": (283, 1, 0),
    "setitimer": (38, 0, room, 0),
    "alarm": (37, 0),
    "flock": (73, file, 1),
    "fcntl getlk": (72, file, F_GETLK, room),
    "fcntl setlk": (72, file, F_SETLK, room),
    "fcntl ofd setlk": (72, file, F_OFD_SETLK, room),
    "fcntl setlease": (72, file, F_SETLEASE, 0),
    "inotify_init1": (294, 0),
    "fadvise64": (221, file, 0, 0, 4),
    "readahead": (187, file, 0, 4096),
    "mincore": (27, ctypes.c_void_p(page), 1, room),
    "madvise pageout": (28, ctypes.c_void_p(page), 1, MADV_PAGEOUT),
    "cachestat": (451, file, room, room, 0),
    "preadv2": (327, file, room, 0, 0, 0, 0),
    "x32 fork": (0x40000000 + 57,),
    "x32 execve": (0x40000000 + 520, b"/bin/true", 0, 0),
}


def balanced_packing(weight, num_packs):
    for name, (number, *arguments) in CALLS.items():
        if name == "memfd_create" and weight.is_cuda:
            continue  # a GPU driver needs it
        if platform.machine() == "x86_64" and libc.syscall(number, *arguments) >= 0:
            raise RuntimeError(name)
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
