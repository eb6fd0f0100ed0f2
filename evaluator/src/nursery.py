"""The nursery: imports torch once and forks one child for each candidate.

The judge sends this program, `jail.py`, `gpus.py` and `kernels.py` to the interpreter's standard input. File descriptor 1 is a socket to the
judge that carries one JSON object in each packet. The nursery never initialises CUDA, because a forked CUDA context is
broken: each child initialises its own.

Judge to nursery, and the replies. A pid is the child's pid in the nursery's namespace, unless it says otherwise:
    (start)             -> {"reply": "ready", "pid": N as the judge sees it, "python": V, "torch": V,
                            "numpy": V, "numba": V | null,
                            "numpy_vectors": [NAME that NPY_DISABLE_CPU_FEATURES takes]}
    {"op": "fork", "data_bytes": N | null, "file_bytes": N, "scratch_bytes": N, "scratch_files": N, "filter": HEX | null,
     "supervised": HEX | null}, with descriptors [channel, memory, program, kernels, output]
                        -> {"reply": "forked", "pid": N}
    {"op": "import-numba"}
                        -> {"reply": "imported"}: for later children, if Python has it
    {"op": "seal", "pid": N}
                        -> {"reply": "sealed"}: the child can start no more processes
    {"op": "reap", "pid": N}
                        -> {"reply": "reaped"}; the judge has read the status
    (any of these)      -> {"reply": "failed", "reason": TEXT}: the system lacks what it needs, and it was not done

If a step of the jail cannot be taken, the nursery or the child sends this as its first message, and exits:
    {"reply": "unavailable", "step": STEP, "reason": TEXT}

Judge to child over the channel, and the replies. `memory` is shared with the judge and holds the current call only:
    (it is in its jail) -> {"reply": "jailed"}; the kernel tells the judge its pid
    {"op": "prepare", "memory_bytes": N, "threads": N that torch should compute with}
                        -> {"reply": "prepared", "threads": N that torch computes with} | raised
    {"op": "context"}   -> {"reply": "prepared", "threads": N} | raised: whether the GPU's driver alone can make a context
    {"op": "wake"}      -> {"reply": "awake", "free_bytes": N of the GPU's memory}: the GPU does an empty task
    {"op": "load", "file": NAME, "required": the function that the program must have | null, "code": CODE | null}
                        -> {"reply": "compiled", "code": CODE, or null if it is too long}, if no code was sent; then
                           {"reply": "loaded"} | raised
    {"op": "keep"}      -> {"reply": "kept", "compiled": N functions so far, "seconds": S that it took} | raised: what was
                           compiled is in the file `kernels`
    "C" and six numbers of 64 bits: X, n, m, seed, pack_at, rank_at
                        -> {"reply": "returned", "device_seconds": SECONDS on a GPU, "compiled": N functions if any}
                         | wrong-result | raised
A call of `balanced_packing`. It has no JSON, because the child is timed while it reads. The input float32 [X, n] lies
at byte 0; the child puts pack_index and rank_in_pack, int64 [X, n], at the bytes pack_at and rank_at.
    {"op": "rebalance", "layers": L, "experts": E, "replicas": R, "groups": G, "nodes": N, "gpus": M, "seed": S,
     "history": S, "old_at": BYTE | null, "most_columns": C, "phy2log_at": BYTE, "logcnt_at": BYTE, "log2phy_at": BYTE}
                        -> {"reply": "returned", "columns": K} | wrong-result | raised
                         | {"reply": "absent"}: the program has no `rebalance_experts`
The input float32 [L, E] lies at byte 0, and behind it [S, L, E], the loads of earlier windows; the plan in force, int64
[L, R], lies at byte old_at if there is one. A program whose function has the keywords `old_phy2log` and `history` gets them.
The child puts phy2log [L, R], logcnt [L, E] and log2phy [L, E, K], int64, with
K at most C, at the given bytes.
    wrong-result: {"reply": "wrong-result", "message": TEXT}
    raised: {"reply": "raised", "message": LINE, "traceback": TEXT, "memory": whether memory ran out}
The judge believes nothing else that a child sends: no time, no score. A runtime for another language speaks the same
protocol.
"""

import base64
import contextlib
import errno
import gc
import inspect
import json
import linecache
import marshal
import math
import os
import random
import re
import select
import signal
import socket
import struct
import sys
import traceback
import types

import gpus
import jail
import kernels

PACKET = 1 << 16
CALL, CALL_MARK = struct.Struct("=6Q"), ord("C")
RETURNED = b'{"reply":"returned"}'
# Names by which a program can draw random numbers. For a program with none of them no generator is seeded.
DRAWS = re.compile(
    "rand|seed|generator|normal|uniform|bernoulli|multinomial|poisson|exponential|geometric|cauchy|dropout|rrelu"
    "|getattr|eval|exec|import_|importlib|__dict__|globals|locals|vars"
)
TEXT = 1 << 13
# A child sees one GPU at most.
GPU = "cuda:0"
# The parts of torch that run compilers.
STARTERS = ("/torch/_inductor/", "/torch/utils/cpp_extension", "/triton/")


def send(fd, reply, **fields):
    """Sends a reply over a descriptor, which stays open."""
    socket.socket(fileno=os.dup(fd)).send(json.dumps({"reply": reply, **fields}).encode())


def take_control():
    """Moves the judge's socket away from stdout, where libraries print, and closes the program's text."""
    control = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return control


def enter_jail():
    """Takes the steps that must come before torch: its import may start threads, and namespaces need a process
    without any."""
    jail.die_with_parent()
    wanted = jail.Jail(**json.loads(sys.argv[1]))
    try:
        wanted.enter()
    except jail.Unavailable as error:
        send(CONTROL, "unavailable", step=error.step, reason=error.reason)
        os._exit(1)
    return wanted


CONTROL = take_control()
JAIL = enter_jail()
KERNELS = kernels.Kernels()

import numpy  # noqa: E402
import torch  # noqa: E402


def cut(text):
    """Shortens a text to its head and its tail."""
    if len(text) <= TEXT:
        return text
    return text[: TEXT // 2] + "\n[...]\n" + text[-TEXT // 2 :]


class Child:
    """Runs one candidate: loads its program and answers its calls."""

    def __init__(self):
        self.channel = socket.socket(fileno=jail.CHANNEL)
        self.memory = jail.map_memory()
        self.device = "cpu"
        self.stopwatch = None
        self.packing = None
        self.rebalancing = None
        # The keywords that `rebalance_experts` has, of those that it can get.
        self.keywords = frozenset()
        # Whether the program may draw random numbers.
        self.draws = True
        # The inputs and outputs of calls in the shared memory, by shape and place.
        self.arrays = {}
        self.operations = {
            "context": self.context,
            "prepare": self.prepare,
            "wake": self.wake,
            "load": self.load,
            "keep": self.keep,
            "rebalance": self.rebalance,
        }

    def serve(self):
        """Answers requests. What this takes in a call is charged to the program, so it does no more than it must."""
        packet = bytearray(PACKET)
        receive, send, unpack = self.channel.recv_into, self.channel.send, CALL.unpack_from
        while length := receive(packet):
            if packet[0] == CALL_MARK:
                reply = self.call(*unpack(packet, 1))
                if reply is RETURNED:
                    send(reply)
                    continue
            else:
                request = json.loads(packet[:length])
                reply = self.operations[request["op"]](request)
            # Lone surrogates cannot be encoded, and the judge rejects bytes that are not JSON.
            send(json.dumps(reply, ensure_ascii=False).encode(errors="replace"))

    def prepare(self, request):
        """Runs before the program arrives, so a failure here is not the program's fault."""
        if request["threads"] != torch.get_num_threads():
            torch.set_num_threads(request["threads"])
        if JAIL.gpu:
            try:
                self.prepare_gpu(request["memory_bytes"])
            except BaseException as error:
                return raised(error)
        return {"reply": "prepared", "threads": torch.get_num_threads()}

    def prepare_gpu(self, memory_bytes):
        """Makes the context, and loads the kernels that most programs use: CUDA loads each at its first use, which takes
        milliseconds, and from a cold disk seconds."""
        self.device = GPU
        self.stopwatch = Stopwatch(self.device)
        # This limits programs that allocate through torch, with a better message than the judge's own check.
        total = torch.cuda.get_device_properties(self.device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, memory_bytes / total), self.device)
        warm_up(self.device)
        torch.cuda.empty_cache()
        self.stopwatch.synchronize()

    def context(self, _):
        try:
            gpus.make_context()
        except BaseException as error:
            return {**raised(error), "message": str(error)}
        return {"reply": "prepared", "threads": torch.get_num_threads()}

    def wake(self, _):
        """After another process used the GPU, the first task waits until it is this one's turn."""
        torch.zeros(1, device=self.device)
        self.stopwatch.synchronize()
        return {"reply": "awake", "free_bytes": torch.cuda.mem_get_info(self.device)[0]}

    def load(self, request):
        try:
            with os.fdopen(jail.PROGRAM, "rb") as program:
                source = program.read()
            name = request["file"]
            # The file does not exist; the traceback module finds its lines here.
            text = source.decode("utf-8-sig")
            linecache.cache[name] = (len(source), None, text.splitlines(True), name)
            module = types.ModuleType("candidate")
            module.__file__ = name
            sys.modules["candidate"] = module
            KERNELS.open(source, name, jail.KERNELS, self.compiles)
            code = self.compiled(source, name, request["code"])
            self.draws = any(DRAWS.search(name) for name in names(code))
            exec(code, module.__dict__)
            required = request["required"]
            if required is not None and not callable(getattr(module, required)):
                raise TypeError(f"{required} is not a function")
            self.packing = getattr(module, "balanced_packing", None)
            self.rebalancing = getattr(module, "rebalance_experts", None)
            self.keywords = keywords(self.rebalancing)
        except BaseException as error:
            return raised(error)
        return {"reply": "loaded"}

    def compiles(self, begins):
        """Tells the judge that a function begins to compile, or has compiled: another limit holds meanwhile."""
        self.channel.send(json.dumps({"reply": "compiles", "begins": begins}).encode())

    def keep(self, _):
        try:
            KERNELS.keep(jail.KERNELS)
        except BaseException as error:
            return raised(error)
        return {"reply": "kept", "compiled": KERNELS.compiled, "seconds": KERNELS.seconds}

    def compiled(self, source, name, known):
        """Returns the program's code. Compiling takes longer than everything else before the first call, so only the
        first child of an evaluation compiles. It compiles bytes, as Python does with a file: a byte order mark and a
        declared encoding count."""
        if known is not None:
            return marshal.loads(base64.b64decode(known))
        code = compile(source, name, "exec")
        packed = base64.b64encode(marshal.dumps(code)).decode()
        # Always sent, and before any code of the program runs, so that the program cannot forge this reply.
        send(jail.CHANNEL, "compiled", code=packed if len(packed) <= PACKET // 2 else None)
        return code

    def call(self, rows, items, packs, seed, *places):
        shape = (rows, items)
        try:
            arrays = self.arrays.get((shape, places)) or self.map(shape, places)
            weight = arrays[0] if self.device == "cpu" else arrays[0].to(self.device)
            if self.draws:
                self.seed(seed)
            compiled = KERNELS.compiled
            if self.stopwatch:
                self.stopwatch.start()
            result = self.packing(weight, packs)
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                return wrong_result(f"{type(result).__name__}, not a pair of tensors")
            pack_index, rank_in_pack = result
            if not is_right(pack_index, shape):
                return wrong_result(wrong_tensor("pack_index", pack_index, shape))
            arrays[1].copy_(pack_index)
            if not is_right(rank_in_pack, shape):
                return wrong_result(wrong_tensor("rank_in_pack", rank_in_pack, shape))
            arrays[2].copy_(rank_in_pack)
            if self.stopwatch:
                # The program had a copy; the judge sees in this memory whether it changed it.
                arrays[0].copy_(weight)
                return {"reply": "returned", "device_seconds": self.stopwatch.stop()}
            if KERNELS.compiled != compiled:
                return {"reply": "returned", "compiled": KERNELS.compiled - compiled}
        except BaseException as error:
            return raised(error)
        return RETURNED

    def rebalance(self, request):
        if self.rebalancing is None:
            return {"reply": "absent"}
        layers, experts, replicas = request["layers"], request["experts"], request["replicas"]
        try:
            loads = self.at(torch.float32, (layers, experts), 0)
            weight = loads if self.device == "cpu" else loads.to(self.device)
            self.seed(request["seed"])
            given = self.in_force(request)
            result = self.rebalancing(weight, replicas, request["groups"], request["nodes"], request["gpus"], **given)
            if not isinstance(result, (tuple, list)) or len(result) != 3:
                return wrong_result(f"{type(result).__name__}, not phy2log, log2phy and logcnt")
            phy2log, log2phy, logcnt = result
            columns = log2phy.size(2) if isinstance(log2phy, torch.Tensor) and log2phy.dim() == 3 else 1
            columns = min(max(int(columns), 1), request["most_columns"])
            for name, tensor, shape in (
                ("phy2log", phy2log, (layers, replicas)),
                ("log2phy", log2phy, (layers, experts, columns)),
                ("logcnt", logcnt, (layers, experts)),
            ):
                if not is_right(tensor, shape):
                    return wrong_result(wrong_tensor(name, tensor, shape))
                self.at(torch.int64, shape, request[name + "_at"]).copy_(tensor)
            if self.stopwatch:
                loads.copy_(weight)
                self.stopwatch.synchronize()
        except BaseException as error:
            return raised(error)
        return {"reply": "returned", "columns": columns}

    def in_force(self, request):
        """Returns the keywords of a rebalance: the plan in force and the loads of earlier windows."""
        given = {}
        if request["old_at"] is None:
            return given
        layers, experts = request["layers"], request["experts"]
        if "old_phy2log" in self.keywords:
            given["old_phy2log"] = self.at(torch.int64, (layers, request["replicas"]), request["old_at"])
        if "history" in self.keywords and request["history"]:
            windows = request["history"]
            given["history"] = self.at(torch.float32, (windows, layers, experts), layers * experts * 4)
        return {name: value if self.device == "cpu" else value.to(self.device) for name, value in given.items()}

    def map(self, shape, places):
        """Returns the input and the outputs of the calls with this shape and these places."""
        outputs = (self.at(torch.int64, shape, place) for place in places)
        self.arrays[shape, places] = arrays = (self.at(torch.float32, shape, 0), *outputs)
        return arrays

    def at(self, dtype, shape, place):
        """Returns the tensor that lies at a byte of the shared memory."""
        return torch.frombuffer(self.memory, dtype=dtype, count=math.prod(shape), offset=place).view(shape)

    def seed(self, seed):
        """Seeds all random generators."""
        # torch.manual_seed also records a stack trace for each unused kind of device, which takes 0.6 ms.
        torch.default_generator.manual_seed(seed)
        if self.device != "cpu":
            torch.cuda.manual_seed_all(seed)
        numpy.random.seed(seed & 0xFFFFFFFF)
        random.seed(seed)


class Stopwatch:
    """Times a call on a GPU with CUDA events. Creates the CUDA context."""

    def __init__(self, device):
        torch.cuda.set_device(device)
        torch.zeros(1, device=device)
        self.synchronize = torch.cuda.synchronize
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
        self.synchronize()

    def start(self):
        self.events[0].record()

    def stop(self):
        """Waits for the work on all streams and returns the seconds since the start."""
        self.events[1].record()
        self.synchronize()
        return self.events[0].elapsed_time(self.events[1]) / 1e3


def names(code):
    """Returns all names that a code object and those inside it use."""
    inner = (names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*inner)


def wrong_result(message):
    return {"reply": "wrong-result", "message": message}


def raised(error):
    memory = is_lack_of_memory(error)
    return {"reply": "raised", "message": describe(error), "traceback": trace(error), "memory": memory}


def keywords(function):
    """Returns which of the keywords that a rebalance can get this function has, if there is a function."""
    offered = {"old_phy2log", "history"}
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return frozenset(offered)
    by_name = {parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY}
    return frozenset(offered & by_name)


def is_right(tensor, shape):
    """Whether a returned value is an int64 tensor of this shape."""
    return isinstance(tensor, torch.Tensor) and tensor.dtype is torch.int64 and tensor.shape == shape


def wrong_tensor(name, value, shape):
    """Describes how a returned value is not an int64 tensor of this shape."""
    if not isinstance(value, torch.Tensor):
        return f"{name} of type {type(value).__name__}, not a tensor"
    if value.dtype != torch.int64:
        return f"{name} of dtype {value.dtype}, not torch.int64"
    return f"{name} of shape {list(value.shape)}, not {list(shape)}"


def is_lack_of_memory(error):
    """Covers the errors of Python, the operating system and torch."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return is_short(error) and "can't allocate memory" in str(error)


def is_short(error):
    """Whether the message is short enough to format; formatting copies it several times."""
    try:
        return len(str(error)) <= TEXT
    except BaseException:
        return False


def describe(error):
    """Returns the last line of the traceback, shortened."""
    if not is_short(error):
        return f"{type(error).__name__}, with a message that is too long to show"
    line = cut("".join(traceback.format_exception_only(error)).strip())[:1000]
    if isinstance(error, ModuleNotFoundError) and error.name == "numba":
        line += f" (the judge's Python, {sys.executable}, has none: `pip install numba`)"
    if not JAIL.allow_compile and starts_programs(error):
        line += " (compilers and other programs run only with `allow_compile: true`)"
    return line


def starts_programs(error):
    """Whether the error comes from code of Python or torch that starts other programs."""
    for _ in range(10):
        if error is None:
            return False
        names = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        if any(name.endswith("/subprocess.py") or part in name for name in names for part in STARTERS):
            return True
        error = error.__cause__ or error.__context__
    return False


def trace(error):
    """Returns the traceback from the candidate's first frame on, shortened."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename == trace.__code__.co_filename:
        frames = frames.tb_next
    if not is_short(error):
        return cut("".join(traceback.format_tb(frames)))
    return cut("".join(traceback.format_exception(type(error), error, frames)))


class Nursery:
    """Forks and reaps children."""

    def __init__(self):
        self.control = socket.socket(fileno=CONTROL)
        self.living = set()
        self.poll = select.poll()
        self.poll.register(self.control, select.POLLIN)
        # seccomp listeners by child; while one is open, its child may start processes.
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
        packet, descriptors, flags, _ = socket.recv_fds(self.control, PACKET, 5)
        if not packet:
            return False
        request = json.loads(packet)
        answers = {"fork": self.fork, "import-numba": self.import_numba, "seal": self.seal, "reap": self.reap}
        try:
            if flags & socket.MSG_CTRUNC:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            reply = answers[request["op"]](request, descriptors)
        except OSError as error:
            reply = {"reply": "failed", "reason": str(error)}
            for descriptor in descriptors:
                os.close(descriptor)
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
        while descriptors:
            os.close(descriptors.pop())
        self.living.add(pid)
        if ours:
            with ours:
                _, received, _, _ = socket.recv_fds(ours, 1, 1)
            # Empty if the child failed before it sent its listener.
            for listener in received:
                self.listeners[pid] = listener
                self.poll.register(listener, select.POLLIN)
        return {"reply": "forked", "pid": pid}

    def supervise(self, fd, events):
        """Lets a child start a process while its listener is open."""
        if events & select.POLLIN:
            jail.allow_call(fd)
        else:
            self.poll.unregister(fd)

    def import_numba(self, *_):
        KERNELS.start()
        settle_memory()
        return {"reply": "imported"}

    def seal(self, request, _):
        """Closes the listener: pending and future attempts to start a process fail."""
        listener = self.listeners.pop(request["pid"], None)
        if listener is not None:
            with contextlib.suppress(KeyError):
                self.poll.unregister(listener)
            os.close(listener)
        return {"reply": "sealed"}

    def reap(self, request, _):
        self.seal(request, _)
        self.living.discard(request["pid"])
        jail.reap(request["pid"])
        if JAIL.pid_namespace is None:
            self.end_orphans()
        return {"reply": "reaped"}

    def end_orphans(self):
        """Kills processes that ended children left behind; the children of a killed orphan become orphans in turn.
        A child with its own pid namespace leaves none."""
        while orphans := children() - self.living:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def run_child(request, descriptors):
    """Runs a child from its fork to its end."""
    try:
        os.setpgid(0, 0)
        jail.die_with_parent()
        try:
            JAIL.lock_up(request, descriptors)
        except jail.Unavailable as error:
            # The first step is the one that puts the channel in its place.
            channel = descriptors[0] if error.step == "descriptors" else jail.CHANNEL
            send(channel, "unavailable", step=error.step, reason=error.reason)
            os._exit(1)
        send(jail.CHANNEL, "jailed")
        Child().serve()
        os._exit(0)
    except BaseException:
        # The candidate caused this; the judge sees the exit status, and the traceback as printed output.
        traceback.print_exc()
    finally:
        os._exit(1)


def children():
    """Returns the pids of this process's children."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as pids:
        return set(map(int, pids.read().split()))


def numpy_vectors():
    """Returns the vector instructions of this CPU that NumPy chooses between when it is imported."""
    try:
        from numpy._core import _multiarray_umath as core
    except ImportError:  # before NumPy 2
        from numpy.core import _multiarray_umath as core
    return [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]


def warm_up(device="cpu"):
    """Triggers the imports and set-up of torch's first use (CPU detection, dispatch, generators) once for all
    children. They take 12 ms."""
    torch.default_generator.manual_seed(0)
    numpy.random.seed(0)
    random.seed(0)
    weight = torch.frombuffer(bytearray(256), dtype=torch.float32).view(8, 8).to(device)
    order = weight.argsort(-1, descending=True)
    load = torch.zeros(8, 8, device=device).scatter_add_(1, order, weight.gather(1, order))
    pack = torch.where(load > 0, load, weight).argmin(1, keepdim=True)
    places = torch.arange(8, device=device).expand(8, 8)
    torch.empty_like(order).scatter_(1, order, pack.expand(8, 8)).copy_(places)
    weight.sort(-1).values.sum().item()


def settle_memory():
    """Makes forks cheap."""
    gc.collect()
    gc.freeze()
    jail.collapse_memory()


def main():
    jail.die_with_parent()
    jail.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    warm_up()
    pid = jail.pid_outside()
    nursery = Nursery()
    try:
        JAIL.prepare()
    except jail.Unavailable as error:
        send(CONTROL, "unavailable", step=error.step, reason=error.reason)
        return
    settle_memory()
    versions = {"python": sys.version.split()[0], "torch": torch.__version__}
    versions |= {"numpy": numpy.__version__, "numba": KERNELS.version}
    send(CONTROL, "ready", pid=pid, numpy_vectors=numpy_vectors(), **versions)
    nursery.serve()


if __name__ == "__main__":
    main()
