"""The nursery: imports torch once and forks one child for every candidate.

Run by the judge, which owns file descriptor 0: a socket that carries one JSON object a packet. It is the only Python
that the judge starts. It never initialises CUDA, because a forked CUDA context is broken: every child does for itself.

Judge to nursery, and back:
    {"op": "fork", "memory_bytes": N | null, "file_bytes": N}  with descriptors [channel, memory, program, output]
                                                    -> {"pid": N}
    {"op": "reap", "pid": N}                        -> {"status": N}, as waitpid reports it

Judge to child over the channel, and back. `memory` is shared with the judge and holds the current call only:
    {"op": "load", "file": NAME, "device": D}       -> {"loaded": true} | {"load_error": LINE, "traceback": TEXT}
    {"op": "call", "rows": X, "items": n, "packs": m, "seed": S, "pack_at": BYTE, "rank_at": BYTE}
                                                    -> {"returned": true} | {"wrong_result": TEXT}
                                                     | {"raised": LINE, "traceback": TEXT, "memory": BOOL}
The input float32 [X, n] lies at byte 0; the child puts pack_index and rank_in_pack, int64 [X, n], at the bytes named.
Nothing else that a child says is believed: not a time, not a score. A runtime for another language speaks the same.
"""

import ctypes
import fcntl
import gc
import json
import linecache
import mmap
import os
import random
import resource
import signal
import socket
import sys
import traceback
import types

import numpy
import torch

PACKET = 1 << 16
TEXT = 1 << 14
CHANNEL, MEMORY, PROGRAM = 3, 4, 5


PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def die_with_parent():
    """So that nothing outlives a judge that was killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans():
    """So that what a candidate's process leaves behind becomes a child of the nursery, which can end it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def cut(text):
    """The text, bounded: its head and its tail."""
    if len(text) <= TEXT:
        return text
    return text[: TEXT // 2] + "\n[...]\n" + text[-TEXT // 2 :]


def place_descriptors(channel, memory, program, output):
    """Leaves the child /dev/null, its output pipe and the three descriptors of its own; nothing else stays open."""
    null = os.open(os.devnull, os.O_RDONLY)
    # First out of the way of the numbers they are to get.
    held = [fcntl.fcntl(fd, fcntl.F_DUPFD, 64) for fd in (null, output, channel, memory, program)]
    for fd, at in zip(held, (0, 1, CHANNEL, MEMORY, PROGRAM)):
        os.dup2(fd, at, inheritable=False)
    os.dup2(1, 2)
    os.closerange(PROGRAM + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def limit_resources(memory_bytes, file_bytes):
    """Backstops of the kernel; the judge watches what is really used beside them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    if memory_bytes is not None:
        with open("/proc/self/status", encoding="ascii") as status:
            data = next(int(line.split()[1]) for line in status if line.startswith("VmData:"))
        limit = data * 1024 + memory_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


class Child:
    """Runs one candidate: loads its program and answers its calls."""

    def __init__(self):
        self.channel = socket.socket(fileno=CHANNEL)
        self.memory = mmap.mmap(MEMORY, 0)
        self.device = "cpu"
        self.packing = None

    def serve(self):
        while packet := self.channel.recv(PACKET):
            request = json.loads(packet)
            reply = self.load(request) if request["op"] == "load" else self.call(request)
            sys.stdout.flush()
            sys.stderr.flush()
            self.channel.send(json.dumps(reply).encode())

    def load(self, request):
        self.device = request["device"]
        try:
            with os.fdopen(PROGRAM, "rb") as program:
                text = program.read().decode()
            name = request["file"]
            # The traceback module finds the source lines here; there is no such file.
            linecache.cache[name] = (len(text), None, text.splitlines(True), name)
            module = types.ModuleType("candidate")
            module.__file__ = name
            sys.modules["candidate"] = module
            exec(compile(text, name, "exec"), module.__dict__)
            self.packing = module.balanced_packing
            if not callable(self.packing):
                raise TypeError("balanced_packing is not a function")
        except BaseException as error:
            return {"load_error": describe(error), "traceback": trace(error)}
        return {"loaded": True}

    def call(self, request):
        shape = (request["rows"], request["items"])
        count = shape[0] * shape[1]
        try:
            weight = torch.frombuffer(self.memory, dtype=torch.float32, count=count).view(shape)
            if self.device != "cpu":
                weight = weight.to(self.device)
            seed = request["seed"]
            torch.manual_seed(seed)
            numpy.random.seed(seed & 0xFFFFFFFF)
            random.seed(seed)
            result = self.packing(weight, request["packs"])
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                return {"wrong_result": f"{type(result).__name__}, not a pair of tensors"}
            for name, at, tensor in zip(("pack_index", "rank_in_pack"), ("pack_at", "rank_at"), result):
                if wrong := wrong_tensor(name, tensor, shape):
                    return {"wrong_result": wrong}
                out = torch.frombuffer(self.memory, dtype=torch.int64, count=count, offset=request[at])
                out.view(shape).copy_(tensor)
        except BaseException as error:
            memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)[:TEXT]
            return {"raised": describe(error), "traceback": trace(error), "memory": memory}
        return {"returned": True}


def wrong_tensor(name, tensor, shape):
    """What is wrong with a returned tensor, or None."""
    if not isinstance(tensor, torch.Tensor):
        return f"{name} of type {type(tensor).__name__}, not a tensor"
    if tensor.dtype != torch.int64:
        return f"{name} of dtype {tensor.dtype}, not torch.int64"
    if tuple(tensor.shape) != shape:
        return f"{name} of shape {list(tensor.shape)}, not {list(shape)}"
    return None


def is_short(error):
    """Whether the message can be formatted: an endless one would be copied over and over."""
    try:
        return len(str(error)) <= TEXT
    except BaseException:
        return False


def describe(error):
    """The last line of the traceback, bounded."""
    if not is_short(error):
        return f"{type(error).__name__}, its message too long to tell"
    return cut("".join(traceback.format_exception_only(error)).strip())[:1000]


def trace(error):
    """The traceback from the candidate's first frame on, bounded."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename == trace.__code__.co_filename:
        frames = frames.tb_next
    if not is_short(error):
        return cut("".join(traceback.format_tb(frames)))
    return cut("".join(traceback.format_exception(type(error), error, frames)))


class Nursery:
    """Forks children and reaps them."""

    def __init__(self):
        self.control = socket.socket(fileno=os.dup(0))
        self.living = set()

    def serve(self):
        while True:
            packet, descriptors, _, _ = socket.recv_fds(self.control, PACKET, 4)
            if not packet:
                return
            request = json.loads(packet)
            reply = self.fork(request, descriptors) if request["op"] == "fork" else self.reap(request)
            self.control.send(json.dumps(reply).encode())

    def fork(self, request, descriptors):
        pid = os.fork()
        if pid == 0:
            try:
                os.setpgid(0, 0)
                die_with_parent()
                self.control.close()
                place_descriptors(*descriptors)
                limit_resources(request["memory_bytes"], request["file_bytes"])
                Child().serve()
                os._exit(0)
            except BaseException:
                # The candidate's doing; the judge sees the status, and this as what it printed.
                traceback.print_exc()
            finally:
                os._exit(1)
        for descriptor in descriptors:
            os.close(descriptor)
        self.living.add(pid)
        return {"pid": pid}

    def reap(self, request):
        self.living.discard(request["pid"])
        _, status = os.waitpid(request["pid"], 0)
        self.end_orphans()
        return {"status": status}

    def end_orphans(self):
        """Kills what ended children left behind; a killed orphan's own children become orphans in turn."""
        while orphans := children() - self.living:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def children():
    """Processes whose parent is this one."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as pids:
        return set(map(int, pids.read().split()))


def cuda_names():
    """Names of the CUDA devices, asked in a fork so that this process never initialises CUDA."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
            os.write(writer, json.dumps(names).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        names = answer.read()
    os.waitpid(pid, 0)
    return json.loads(names or b"[]")


def main():
    die_with_parent()
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    # What torch sets up at its first operations (CPU detection, dispatch) is set up here, once for all children.
    torch.rand(8, 8).sort(-1).values.sum().item()
    nursery = Nursery()
    names = cuda_names() if torch.backends.cuda.is_built() else []
    hello = {"python": sys.version.split()[0], "torch": torch.__version__, "cuda": names}
    gc.collect()
    gc.freeze()
    nursery.control.send(json.dumps(hello).encode())
    nursery.serve()


if __name__ == "__main__":
    main()
