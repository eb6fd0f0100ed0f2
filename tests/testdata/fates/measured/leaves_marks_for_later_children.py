"""Leaves marks on what all children share, and raises in a child that finds marks of an earlier one: hints, locks,
attributes and flags of library files, their times, threads that wait at a place of one, queues, keys, files."""
import array
import ctypes
import fcntl
import glob
import mmap
import os
import platform
import threading
import time

import torch

libc = ctypes.CDLL(None, use_errno=True)
F_GET_RW_HINT, F_SET_RW_HINT, F_GET_FILE_RW_HINT, F_SET_FILE_RW_HINT = 1035, 1036, 1037, 1038
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_NODUMP_FL = 0x80086601, 0x40086602, 0x40
FUTEX, FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE = 202, 0, 1, 3
SHMGET, MSGGET, MQ_OPEN, ADD_KEY, REQUEST_KEY, IPC_CREAT = 29, 68, 240, 248, 249, 0o1000
KEY, VALUE = 0x5061636B, 4
NAME = "packevolve-left-behind"
FOLDERS = ["/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/dev"]
FILES = [os.__file__, *sorted(glob.glob(os.path.join(os.path.dirname(torch.__file__), "lib", "*.so*")))[:3]]
UNREAD = os.path.join(os.path.dirname(os.__file__), "pydoc_data", "topics.py")
started = time.time()


def attempt(act, *arguments):
    """The result, or None if it is not allowed."""
    try:
        return act(*arguments)
    except OSError:
        return None


def file_of(path):
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def shared_place(path):
    """The address of a library's page that all processes share."""
    libc.mmap.restype = ctypes.c_void_p
    return libc.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ, mmap.MAP_SHARED, file_of(path), ctypes.c_long(0))


def futex(operation, value, timeout=None):
    if platform.machine() != "x86_64":
        return -1
    return libc.syscall(FUTEX, ctypes.c_void_p(place), operation, value, timeout, ctypes.c_void_p(place), 0)


def found():
    """The marks that are there."""
    for path in FILES:
        file = file_of(path)
        for command in (F_GET_RW_HINT, F_GET_FILE_RW_HINT):
            hint = attempt(fcntl.fcntl, file, command, bytes(8))
            if hint is not None and any(hint):
                yield f"hint {command} of {path}"
        flags = array.array("l", [0])
        if attempt(fcntl.ioctl, file, FS_IOC_GETFLAGS, flags) is not None and flags[0] & FS_NODUMP_FL:
            yield f"flags of {path}"
        if attempt(os.getxattr, path, "user.mark"):
            yield f"attribute of {path}"
        try:
            fcntl.flock(file_of(path), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield f"lock of {path}"
        except OSError:
            pass
    if os.stat(UNREAD).st_atime > started - 60:
        yield f"time of {UNREAD}"
    for operation in (FUTEX_WAKE, FUTEX_REQUEUE):
        if futex(operation, 1) > 0:
            yield "a thread that waits"
    for call, arguments in ((SHMGET, (KEY, 4096, 0o600)), (MSGGET, (KEY, 0o600))):
        if platform.machine() == "x86_64" and libc.syscall(call, *arguments) >= 0:
            yield f"system call {call}"
    if platform.machine() == "x86_64" and libc.syscall(REQUEST_KEY, b"user", NAME.encode(), None, 0) > 0:
        yield "a key"
    if platform.machine() == "x86_64" and libc.syscall(MQ_OPEN, NAME.encode(), os.O_RDONLY, 0, None) >= 0:
        yield "a queue"
    for folder in FOLDERS:
        if os.path.exists(os.path.join(folder, NAME)):
            yield f"a file in {folder}"


def leave():
    for path in FILES:
        file = file_of(path)
        for command in (F_SET_RW_HINT, F_SET_FILE_RW_HINT):
            attempt(fcntl.fcntl, file, command, array.array("Q", [VALUE]).tobytes())
        attempt(fcntl.ioctl, file, FS_IOC_SETFLAGS, array.array("l", [FS_NODUMP_FL]))
        attempt(os.setxattr, path, "user.mark", b"1")
        attempt(fcntl.flock, file, fcntl.LOCK_EX)
    open(UNREAD, "rb").read()
    threading.Thread(target=futex, args=(FUTEX_WAIT, ctypes.c_int.from_address(place).value), daemon=True).start()
    for call, arguments in ((SHMGET, (KEY, 4096, IPC_CREAT | 0o600)), (MSGGET, (KEY, IPC_CREAT | 0o600))):
        if platform.machine() == "x86_64":
            libc.syscall(call, *arguments)
    if platform.machine() == "x86_64":
        libc.syscall(ADD_KEY, b"user", NAME.encode(), b"1", 1, -4)
        libc.syscall(MQ_OPEN, NAME.encode(), os.O_RDWR | os.O_CREAT, 0o600, None)
    for folder in FOLDERS:
        attempt(lambda: open(os.path.join(folder, NAME), "w").close())


place = shared_place(FILES[0])
held = []
if marks := list(found()):
    raise RuntimeError(f"finds {marks}")


def balanced_packing(weight, num_packs):
    if not held:
        held.append(True)
        leave()
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
