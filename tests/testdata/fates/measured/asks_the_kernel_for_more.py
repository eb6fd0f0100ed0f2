"""Raises if a system call works that no candidate needs: namespaces, mounts, keys, io_uring, bpf, memfd ..."""
import ctypes
import platform

import torch

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNS, SIGCHLD = 0x10000000, 0x20000, 17
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
    "x32 fork": (0x40000000 + 57,),
    "x32 execve": (0x40000000 + 520, b"/bin/true", 0, 0),
}


def balanced_packing(weight, num_packs):
    for name, (number, *arguments) in CALLS.items():
        if platform.machine() == "x86_64" and libc.syscall(number, *arguments) >= 0:
            raise RuntimeError(name)
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
