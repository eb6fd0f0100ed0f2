"""Raises if it can signal, trace, read, write or reschedule a process that is not its own."""
import ctypes
import os

import torch

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206


class Range(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def succeeds(act, *arguments):
    try:
        return act(*arguments) in (None, 0) or act is libc.process_vm_writev and act(*arguments) > 0
    except OSError:
        return False


def balanced_packing(weight, num_packs):
    own = os.getpid()
    here = Range(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    targets = [pid for pid in (*range(1, 500), os.getppid(), -1) if pid not in (0, own)]
    for pid in targets:
        attacks = {
            "kill": succeeds(os.kill, pid, 0),
            "ptrace": succeeds(libc.ptrace, PTRACE_SEIZE, pid, 0, 0),
            "process_vm_writev": libc.process_vm_writev(pid, ctypes.byref(here), 1, ctypes.byref(here), 1, 0) > 0,
            "prlimit": succeeds(libc.prlimit, pid, 7, 0, ctypes.byref(ctypes.create_string_buffer(16))),
        }
        if any(attacks.values()):
            raise RuntimeError(f"{pid}: {attacks}")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
