"""Asks the kernel for what a GPU driver asks for when it makes a context, and for what the jail must refuse even so.

Raises with all that went wrong. It needs no GPU.
"""

import ctypes
import errno
import mmap
import os
import select
import socket
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
MIB, TIB = 1 << 20, 1 << 40
MAP_NORESERVE = 0x4000
# Where drivers look for device numbers, memory, NUMA nodes and themselves.
READS = (
    "/proc/devices", "/proc/cpuinfo", "/proc/meminfo", "/proc/filesystems", "/proc/stat",
    "/proc/self/maps", "/proc/self/status", "/proc/self/stat", "/proc/self/cmdline", "/proc/sys/vm/max_map_count",
    "/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu/online", "/sys/devices/system/cpu/possible",
)  # fmt: skip
FOLDERS = ("/proc/self/task", "/proc/self/fd", "/sys/devices/system/node", "/sys/bus", "/sys/class")
WRITES = ("/proc/self/oom_score_adj", "/proc/self/comm", "/proc/self/clear_refs", "/proc/self/timerslack_ns")
SYSTEM_WRITES = ("/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches")


def names_another_thread():
    """The driver names each of its threads from the one that starts it."""
    ready, done = threading.Barrier(5), threading.Event()

    def stay():
        ready.wait()
        done.wait()

    threads = [threading.Thread(target=stay) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    try:
        for number, thread in enumerate(threads):
            name = f"cuda-EvtHandlr{number}"[:15]
            error = LIBC.pthread_setname_np(ctypes.c_ulong(thread.ident), name.encode())
            if error:
                raise OSError(error, os.strerror(error))
            with open(f"/proc/self/task/{thread.native_id}/comm") as comm:
                assert comm.read().strip() == name
    finally:
        done.set()
        for thread in threads:
            thread.join()


def listens_on_its_socket():
    """The driver keeps a name of its own, by which other processes could ask it for descriptors."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(b"\0cuda-uvmfd-4026531836-1")
        listener.listen(16)


def shares_32_mib():
    memory = os.memfd_create("driver", os.MFD_CLOEXEC)
    os.ftruncate(memory, 32 * MIB)
    with mmap.mmap(memory, 32 * MIB) as view:
        view[::4096] = b"\1" * (32 * MIB // 4096)
    os.close(memory)


def reserves_4_tib():
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    place = LIBC.mmap(None, ctypes.c_size_t(4 * TIB), 0, flags, -1, ctypes.c_long(0))
    if place == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    LIBC.munmap(ctypes.c_void_p(place), ctypes.c_size_t(4 * TIB))


def waits_on_pipes_and_events():
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    event = os.eventfd(0, os.EFD_CLOEXEC)
    os.write(writer, b"!")
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    poll.register(event, select.POLLIN)
    assert [fd for fd, _ in poll.poll(0)] == [reader]
    for descriptor in (reader, writer, event):
        os.close(descriptor)


def asks_what_machine_it_is():
    os.uname()
    os.sysconf("SC_NPROCESSORS_ONLN")
    os.statvfs("/")
    os.sched_getaffinity(0)
    with open("/dev/zero", "rb") as zero:
        assert zero.read(1) == b"\0"


def reads(path):
    with open(path, "rb") as file:
        file.read(1 << 16)


NEEDED = (
    names_another_thread, listens_on_its_socket, shares_32_mib, reserves_4_tib, waits_on_pipes_and_events,
    asks_what_machine_it_is,
)  # fmt: skip


def connects_to_itself():
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(b"\0of-its-own")
        listener.listen(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(b"\0of-its-own")


def accepts():
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(b"\0of-its-own")
        listener.listen(1)
        listener.setblocking(False)
        try:
            listener.accept()
        except BlockingIOError:
            pass


def opens(family, kind):
    def opens_a_socket():
        socket.socket(family, kind).close()

    opens_a_socket.__name__ = f"opens a socket {family.name} {kind.name}"
    return opens_a_socket


def writes(path):
    def writes_to_proc():
        # Nothing is written: opening is what is refused.
        os.close(os.open(path, os.O_WRONLY))

    writes_to_proc.__name__ = f"writes to {path}"
    return writes_to_proc


REFUSED = (
    connects_to_itself,
    accepts,
    opens(socket.AF_UNIX, socket.SOCK_STREAM),
    opens(socket.AF_UNIX, socket.SOCK_DGRAM),
    opens(socket.AF_INET, socket.SOCK_STREAM),
    opens(socket.AF_INET, socket.SOCK_SEQPACKET),
    opens(socket.AF_NETLINK, socket.SOCK_RAW),
    socket.socketpair,
    os.fork,
    lambda: os.execv("/bin/true", ["true"]),
    lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
    lambda: os.kill(1, 0),
    lambda: os.setpriority(os.PRIO_PROCESS, 0, 5),
    *map(writes, WRITES),
    *(writes(path) for path in SYSTEM_WRITES),
)


def wrong():
    for do in NEEDED:
        try:
            do()
        except Exception as error:
            yield f"{do.__name__}: {error!r}"
    for do, paths in ((reads, READS), (os.listdir, FOLDERS)):
        for path in paths:
            try:
                do(path)
            except OSError as error:
                yield f"{path}: {error.strerror}"
    for do in REFUSED:
        try:
            do()
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOSYS):
                yield f"{do.__name__}: {error!r}"
        else:
            yield f"{do.__name__}: it is not refused"


def balanced_packing(weight, num_packs):
    found = list(wrong())
    if found:
        raise AssertionError("; ".join(found))
    import torch

    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
