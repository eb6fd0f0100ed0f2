"""The nursery: imports torch once and forks one child for every candidate.

Run by the judge, after `jail.py`. File descriptor 0 is a socket to the judge that carries one JSON object a packet. It
never initialises CUDA, because a forked CUDA context is broken: every child does for itself.

Judge to nursery, and back. A pid is what the nursery calls a child, which may be in another pid namespace:
    (it starts)                                     -> {"pid": N as the judge sees it, "python": V, "torch": V, "cuda": [NAME]}
    {"op": "fork", "memory_bytes": N | null, "threads": N, "scratch_bytes": N, "scratch_files": N,
     "filter": HEX | null, "supervised": HEX | null}, with descriptors [channel, memory, program, output]
                                                    -> {"pid": N}
    {"op": "seal", "pid": N}                        -> {"sealed": true}: it can start no more processes
    {"op": "reap", "pid": N}                        -> {"status": N}, as waitpid reports it

Either may say, instead of its first words, that a step of the jail cannot be taken, and end:
    {"unavailable": STEP, "reason": TEXT}

Judge to child over the channel, and back. `memory` is shared with the judge and holds the current call only:
    (it is in its jail)                             -> {"pid": N as the judge sees it}
    {"op": "prepare", "device": D, "memory_bytes": N}
                                                    -> {"threads": N that torch computes with}
    {"op": "load", "file": NAME, "code": null}      -> {"compiled": CODE, null if that is too long}, and then
    {"op": "load", "file": NAME, "code": CODE}      -> {"loaded": true}
                                                     | {"load_error": LINE, "traceback": TEXT, "memory": BOOL}
    {"op": "call", "rows": X, "items": n, "packs": m, "seed": S, "pack_at": BYTE, "rank_at": BYTE}
                                                    -> {"returned": true, "device_seconds": on a GPU}
                                                     | {"wrong_result": TEXT}
                                                     | {"raised": LINE, "traceback": TEXT, "memory": BOOL}
The input float32 [X, n] lies at byte 0; the child puts pack_index and rank_in_pack, int64 [X, n], at the bytes named.
    {"op": "rebalance", "layers": L, "experts": E, "replicas": R, "groups": G, "nodes": N, "gpus": M, "seed": S,
     "most_columns": C, "phy2log_at": BYTE, "logcnt_at": BYTE, "log2phy_at": BYTE}
                                                    -> {"returned": true, "columns": K} | {"absent": true}
                                                     | as to a call, if it failed
The input float32 [L, E] lies at byte 0; the child puts phy2log [L, R], logcnt [L, E] and log2phy [L, E, K], K at most C,
int64, at the bytes named. `absent`: the program has no such function.
Nothing else that a child says is believed: not a time, not a score. A runtime for another language speaks the same.
"""

import base64
import contextlib
import errno
import gc
import json
import linecache
import marshal
import math
import mmap
import os
import random
import select
import signal
import socket
import sys
import traceback
import types

import jail

PACKET = 1 << 16
TEXT = 1 << 13
# Where torch runs compilers.
STARTERS = ("/torch/_inductor/", "/torch/utils/cpp_extension", "/triton/")


def tell(fd, message):
    """Sends a packet from a descriptor, which stays open."""
    socket.socket(fileno=os.dup(fd)).send(json.dumps(message).encode())


def enter_jail():
    """What of the jail comes before torch: its import may start threads, and then it would be too late."""
    jail.die_with_parent()
    wanted = jail.Jail(**json.loads(sys.argv[3]))
    try:
        wanted.enter()
    except jail.Unavailable as error:
        tell(0, {"unavailable": error.step, "reason": error.reason})
        os._exit(1)
    return wanted


JAIL = enter_jail()

import numpy  # noqa: E402
import torch  # noqa: E402


def cut(text):
    """The text, bounded: its head and its tail."""
    if len(text) <= TEXT:
        return text
    return text[: TEXT // 2] + "\n[...]\n" + text[-TEXT // 2 :]


class Child:
    """Runs one candidate: loads its program and answers its calls."""

    def __init__(self):
        self.channel = socket.socket(fileno=jail.CHANNEL)
        self.memory = mmap.mmap(jail.MEMORY, 0)
        self.device = "cpu"
        self.stopwatch = None
        self.packing = None
        self.rebalancing = None
        self.operations = {
            "prepare": self.prepare,
            "load": self.load,
            "call": self.call,
            "rebalance": self.rebalance,
        }

    def serve(self):
        while packet := self.channel.recv(PACKET):
            request = json.loads(packet)
            reply = self.operations[request["op"]](request)
            sys.stdout.flush()
            sys.stderr.flush()
            # Text as it is, and no half of a character: what the judge could not read would pass for a breach.
            self.channel.send(json.dumps(reply, ensure_ascii=False).encode(errors="replace"))

    def prepare(self, request):
        """Before the program is there: what fails here is not its fault."""
        self.device = request["device"]
        if self.device != "cpu":
            self.stopwatch = Stopwatch(self.device)
            # The judge does not see the memory of a GPU. This keeps to the limit whoever does not go around torch.
            total = torch.cuda.get_device_properties(self.device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, request["memory_bytes"] / total), self.device)
        return {"threads": torch.get_num_threads()}

    def load(self, request):
        try:
            with os.fdopen(jail.PROGRAM, "rb") as program:
                text = program.read().decode()
            name = request["file"]
            # The traceback module finds the source lines here; there is no such file.
            linecache.cache[name] = (len(text), None, text.splitlines(True), name)
            module = types.ModuleType("candidate")
            module.__file__ = name
            sys.modules["candidate"] = module
            code = self.compiled(text, name, request["code"])
            exec(code, module.__dict__)
            self.packing = module.balanced_packing
            if not callable(self.packing):
                raise TypeError("balanced_packing is not a function")
            self.rebalancing = getattr(module, "rebalance_experts", None)
        except BaseException as error:
            return {"load_error": describe(error), "traceback": trace(error), "memory": is_lack_of_memory(error)}
        return {"loaded": True}

    def compiled(self, text, name, known):
        """The program's code. Compiling takes longer than all else that a child does before its first call, so its text
        is compiled once for all children of an evaluation."""
        if known is not None:
            return marshal.loads(base64.b64decode(known))
        code = compile(text, name, "exec")
        packed = base64.b64encode(marshal.dumps(code)).decode()
        # Said in any case, and before any code of the program runs: nothing that it says passes for this.
        self.channel.send(json.dumps({"compiled": packed if len(packed) <= PACKET // 2 else None}).encode())
        return code

    def call(self, request):
        shape = (request["rows"], request["items"])
        try:
            weight = self.input(request, shape)
            if self.stopwatch:
                self.stopwatch.start()
            result = self.packing(weight, request["packs"])
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                return {"wrong_result": f"{type(result).__name__}, not a pair of tensors"}
            for name, at, tensor in zip(("pack_index", "rank_in_pack"), ("pack_at", "rank_at"), result):
                if wrong := wrong_tensor(name, tensor, shape):
                    return {"wrong_result": wrong}
                self.put(tensor, shape, request[at])
            if self.stopwatch:
                return {"returned": True, "device_seconds": self.stopwatch.stop()}
        except BaseException as error:
            return {"raised": describe(error), "traceback": trace(error), "memory": is_lack_of_memory(error)}
        return {"returned": True}

    def rebalance(self, request):
        if self.rebalancing is None:
            return {"absent": True}
        layers, experts, replicas = request["layers"], request["experts"], request["replicas"]
        try:
            weight = self.input(request, (layers, experts))
            result = self.rebalancing(weight, replicas, request["groups"], request["nodes"], request["gpus"])
            if not isinstance(result, (tuple, list)) or len(result) != 3:
                return {"wrong_result": f"{type(result).__name__}, not phy2log, log2phy and logcnt"}
            phy2log, log2phy, logcnt = result
            columns = log2phy.size(2) if isinstance(log2phy, torch.Tensor) and log2phy.dim() == 3 else 1
            columns = min(max(int(columns), 1), request["most_columns"])
            for name, tensor, shape in (
                ("phy2log", phy2log, (layers, replicas)),
                ("log2phy", log2phy, (layers, experts, columns)),
                ("logcnt", logcnt, (layers, experts)),
            ):
                if wrong := wrong_tensor(name, tensor, shape):
                    return {"wrong_result": wrong}
                self.put(tensor, shape, request[name + "_at"])
        except BaseException as error:
            return {"raised": describe(error), "traceback": trace(error), "memory": is_lack_of_memory(error)}
        return {"returned": True, "columns": columns}

    def input(self, request, shape):
        """The input of a call, with all generators seeded."""
        weight = torch.frombuffer(self.memory, dtype=torch.float32, count=shape[0] * shape[1]).view(shape)
        if self.device != "cpu":
            weight = weight.to(self.device)
        seed = request["seed"]
        # torch.manual_seed also notes a stack trace for each kind of device that is not in use: 0.6 ms of a call.
        torch.default_generator.manual_seed(seed)
        if self.device != "cpu":
            torch.cuda.manual_seed_all(seed)
        numpy.random.seed(seed & 0xFFFFFFFF)
        random.seed(seed)
        return weight

    def put(self, tensor, shape, at):
        """Copies an output of a call to its place."""
        count = math.prod(shape)
        torch.frombuffer(self.memory, dtype=torch.int64, count=count, offset=at).view(shape).copy_(tensor)


class Stopwatch:
    """Takes the time of a call on a GPU by CUDA events, whose context it makes."""

    def __init__(self, device):
        torch.cuda.set_device(device)
        torch.zeros(1, device=device)
        self.synchronize = torch.cuda.synchronize
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        self.synchronize()

    def start(self):
        self.events[0].record()

    def stop(self):
        """Seconds since the start. All that the program has begun is waited for, on whatever stream."""
        self.events[1].record()
        self.synchronize()
        return self.events[0].elapsed_time(self.events[1]) / 1e3


def wrong_tensor(name, tensor, shape):
    """What is wrong with a returned tensor, or None."""
    if not isinstance(tensor, torch.Tensor):
        return f"{name} of type {type(tensor).__name__}, not a tensor"
    if tensor.dtype != torch.int64:
        return f"{name} of dtype {tensor.dtype}, not torch.int64"
    if tuple(tensor.shape) != shape:
        return f"{name} of shape {list(tensor.shape)}, not {list(shape)}"
    return None


def is_lack_of_memory(error):
    """As Python, the system and torch say it."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or is_short(error) and "can't allocate memory" in str(error)


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
    line = cut("".join(traceback.format_exception_only(error)).strip())[:1000]
    if not JAIL.allow_compile and starts_programs(error):
        line += " (compilers and other programs run only with `allow_compile: true`)"
    return line


def starts_programs(error):
    """Whether it was raised where Python or torch start other programs."""
    for _ in range(10):
        if error is None:
            return False
        names = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        if any(name.endswith("/subprocess.py") or part in name for name in names for part in STARTERS):
            return True
        error = error.__cause__ or error.__context__
    return False


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
        self.poll = select.poll()
        self.poll.register(self.control, select.POLLIN)
        # By child, the listeners whose holder says whether it may start a process.
        self.listeners = {}

    def serve(self):
        while True:
            for fd, events in self.poll.poll():
                if fd == self.control.fileno():
                    if not self.answer():
                        return
                elif fd in self.listeners.values():
                    self.supervise(fd, events)

    def answer(self):
        packet, descriptors, _, _ = socket.recv_fds(self.control, PACKET, 4)
        if not packet:
            return False
        request = json.loads(packet)
        answers = {"fork": self.fork, "seal": self.seal, "reap": self.reap}
        reply = answers[request["op"]](request, descriptors)
        self.control.send(json.dumps(reply).encode())
        return True

    def fork(self, request, descriptors):
        ours, theirs = socket.socketpair() if request["supervised"] else (None, None)
        if theirs:
            descriptors.append(theirs.detach())
        pid = JAIL.fork()
        if pid == 0:
            self.control.close()
            run_child(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.living.add(pid)
        if ours:
            with ours:
                _, received, _, _ = socket.recv_fds(ours, 1, 1)
            # None of a child that did not get so far.
            for listener in received:
                self.listeners[pid] = listener
                self.poll.register(listener, select.POLLIN)
        return {"pid": pid}

    def supervise(self, fd, events):
        """Lets a child start what it wants to, as long as its listener is held."""
        if events & select.POLLIN:
            jail.allow_call(fd)
        else:
            self.poll.unregister(fd)

    def seal(self, request, _):
        """Nobody answers any more: what waits and what comes fails."""
        listener = self.listeners.pop(request["pid"], None)
        if listener is not None:
            with contextlib.suppress(KeyError):
                self.poll.unregister(listener)
            os.close(listener)
        return {"sealed": True}

    def reap(self, request, _):
        self.seal(request, _)
        self.living.discard(request["pid"])
        _, status = os.waitpid(request["pid"], 0)
        if JAIL.pid_namespace is None:
            self.end_orphans()
        return {"status": status}

    def end_orphans(self):
        """Kills what ended children left behind; a killed orphan's own children become orphans in turn. A child with
        a pid namespace of its own leaves nothing."""
        while orphans := children() - self.living:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def run_child(request, descriptors):
    """All that a child does, from its fork to its end."""
    try:
        os.setpgid(0, 0)
        jail.die_with_parent()
        try:
            pid = JAIL.lock_up(request, descriptors)
        except jail.Unavailable as error:
            tell(jail.CHANNEL, {"unavailable": error.step, "reason": error.reason})
            os._exit(1)
        tell(jail.CHANNEL, {"pid": pid})
        Child().serve()
        os._exit(0)
    except BaseException:
        # The candidate's doing; the judge sees the status, and this as what it printed.
        traceback.print_exc()
    finally:
        os._exit(1)


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


def warm_up():
    """What is imported and set up at first use (CPU detection, dispatch, generators) is set up here, once for all
    children: it takes 12 ms."""
    torch.default_generator.manual_seed(0)
    numpy.random.seed(0)
    random.seed(0)
    weight = torch.frombuffer(bytearray(256), dtype=torch.float32).view(8, 8)
    order = weight.argsort(-1, descending=True)
    load = torch.zeros(8, 8).scatter_add_(1, order, weight.gather(1, order))
    pack = torch.where(load > 0, load, weight).argmin(1, keepdim=True)
    torch.empty_like(order).scatter_(1, order, pack.expand(8, 8)).copy_(torch.arange(8).expand(8, 8))
    weight.sort(-1).values.sum().item()


def main():
    jail.die_with_parent()
    jail.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    warm_up()
    names = cuda_names() if torch.backends.cuda.is_built() else []
    pid = jail.pid_outside()
    nursery = Nursery()
    try:
        JAIL.prepare()
    except jail.Unavailable as error:
        tell(0, {"unavailable": error.step, "reason": error.reason})
        return
    gc.collect()
    gc.freeze()
    jail.collapse_memory()
    tell(0, {"pid": pid, "python": sys.version.split()[0], "torch": torch.__version__, "cuda": names})
    nursery.serve()


if __name__ == "__main__":
    main()
