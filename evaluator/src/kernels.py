"""Kernels: what a program compiles with Numba while it warms up, and how the other children of an evaluation get it.

Numba compiles a function at its first call, in the process, which takes a second or two. Before the first program that
uses it, the nursery imports Numba and compiles once, so that no child pays for the set-up. Of an evaluation only the first child compiles: before it sees loads
that are scored, it writes what it has compiled into a file that the judge seals and hands to the others. So no child can
pass on what it saw. What is in the file is read inside the jail only. At first it holds what programs of building blocks
alone, whose text the judge can trust, have compiled before.

Numba keeps on disk what belongs to a file that it finds, with the time of that file. The program is none, so a locator
tells Numba where the functions of the program are kept. Each has a key: functions of two programs are the same if all that
they depend on is.
"""

import ast
import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import struct
import time

# In the scratch folder, which is the current one.
CACHE = ".numba"
ENTRY = struct.Struct("=II")
NAME = b"numba"


class Kernels:
    """Numba in the nursery, and in the child that is forked from it. `version` is Numba's, `None` if Python has none, and
    `is_ready` tells whether it was imported. `compiled` counts the functions that were compiled, `seconds` is the time that this took."""

    def __init__(self):
        self.version = version()
        self.is_ready = False
        self.compiled = 0
        self.seconds = 0.0
        self.tell = None
        # Whether this child may still write what it has compiled.
        self.writes = False
        # The program, its name, and where its functions are kept.
        self.source = None
        self.name = None
        self.folder = None

    @functools.cached_property
    def keys(self):
        return keys(self.source)

    def start(self):
        """Imports Numba and compiles a function as programs have them. Where that fails, a program's import fails, too,
        with the reason."""
        with contextlib.suppress(Exception):
            import numba

            self.set_defaults(numba)
            warm_up(numba)
            self.listen()
            self.is_ready = True

    def set_defaults(self, numba):
        """Makes `cache=True` the default of `jit` and `njit`. A function that is not the program's own, such as a
        generated one, is compiled without."""
        from numba.core import caching, decorators, dispatcher

        kernels, jit, enable = self, decorators.jit, dispatcher.Dispatcher.enable_caching

        def cached(*arguments, **options):
            return jit(*arguments, **{"cache": True, **options})

        def enable_if_possible(self):
            with contextlib.suppress(RuntimeError):
                enable(self)

        class Locator:
            """Numba's interface for where a function is kept."""

            def __init__(self, function):
                line = function.__code__.co_firstlineno
                # One inside another is kept for this program alone.
                self.key = kernels.keys.get(line) or f"{digest([kernels.source])}.{line}"
                # Numba names it where it warns that a function cannot be kept.
                self._py_file = kernels.name

            @classmethod
            def from_function(cls, function, file):
                return cls(function) if kernels.folder and file == kernels.name else None

            def ensure_cache_path(self):
                os.makedirs(kernels.folder, exist_ok=True)

            def get_cache_path(self):
                return kernels.folder

            def get_source_stamp(self):
                return 0

            def get_disambiguator(self):
                return self.key

        decorators.jit = numba.jit = cached
        dispatcher.Dispatcher.enable_caching = enable_if_possible
        caching.CacheImpl._locator_classes = [Locator]

    def listen(self):
        """Counts the functions that are compiled, and the time that it takes. A program could disturb this, so it is only shown."""
        from numba.core import event

        kernels = self

        class Listener(event.Listener):
            def __init__(self):
                self.begins = []

            # Numba compiles functions of its own for one of the program.
            def on_start(self, _):
                if not self.begins:
                    kernels.tell(True)
                self.begins.append(time.perf_counter())

            def on_end(self, _):
                begin = self.begins.pop()
                if not self.begins:
                    kernels.compiled += 1
                    kernels.seconds += time.perf_counter() - begin
                    kernels.tell(False)

        event.register("numba:compile", Listener())

    def open(self, source, name, kept, tell):
        """Prepares for a program, and takes over what others have compiled. Closes the file `kept` unless
        this child may be asked to write it: a program is not to hold what it has no use for. `tell` is called with True when
        a function begins to compile, and with False when it has compiled."""
        self.tell = tell
        if NAME not in source or not self.is_ready:
            os.close(kept)
            return
        folder = os.path.abspath(CACHE)
        # Without a scratch folder, or room in it, or if the child that wrote the file was killed, every child compiles.
        with contextlib.suppress(OSError, ValueError, struct.error):
            os.makedirs(folder)
            self.source, self.name, self.folder = source, name, folder
            self.unpack(kept)
        self.writes = not fcntl.fcntl(kept, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        if not self.writes:
            os.close(kept)

    def unpack(self, kept):
        """Writes what is in the file `kept` and of use to the program into the folder: there may be room for little."""
        known = unpacked(kept)
        own = {digest([self.source]), *self.keys.values()} if known else ()
        for name, content in known.items():
            if any(key in name for key in own):
                path = os.path.join(self.folder, name)
                try:
                    with open(path, "wb") as file:
                        file.write(content)
                except OSError:
                    # Numba would read what there is of it.
                    os.unlink(path)
                    raise

    def keep(self, kept):
        """Adds what was compiled so far to the file `kept`, as far as there is room, and closes it."""
        if self.writes:
            self.writes = False
            known, size = unpacked(kept), os.fstat(kept).st_size
            own = files(self.folder) if self.folder else {}
            added = b"".join(packed(*entry) for entry in own.items() if known.get(entry[0]) != entry[1])
            try:
                is_whole = os.pwrite(kept, added, size) == len(added)
            except OSError:
                is_whole = False
            if not is_whole:
                os.ftruncate(kept, size)
            os.close(kept)


def version():
    """Numba's version, without its import, which takes a second."""
    try:
        return importlib.metadata.version("numba") if importlib.util.find_spec("numba") else None
    except importlib.metadata.PackageNotFoundError:
        return None


def warm_up(numba):
    import numpy

    @numba.njit(cache=False)
    def heaviest(weight, packs, loads, order):
        for row in range(weight.shape[0]):
            loads[:] = 0.0
            for item in range(weight.shape[1]):
                pack = 0
                for other in range(1, len(loads)):
                    if loads[other] < loads[pack]:
                        pack = other
                loads[pack] += weight[row, order[row, item]]
                packs[row, item] = pack
        return loads.max(), min(packs[0, 0], 1), abs(loads[0])

    weight = numpy.ones((2, 4), numpy.float32)
    heaviest(weight, numpy.zeros((2, 4), numpy.int64), numpy.zeros(2), weight.argsort(1))


def keys(source):
    """The keys of the functions at the top of a program, by their first lines. A key is made of what decides how the function
    is compiled: its own text, that of the functions that it mentions, directly or not, and everything beside functions, with
    the functions that this mentions. What a function does to another one when it is called is not in it."""
    lines, functions, others, named = source.splitlines(keepends=True), {}, {}, {}
    try:
        nodes = ast.parse(source).body
    # It cannot be compiled either, which is reported when that is tried.
    except Exception:
        return {}
    for node in nodes:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        at, text = (first, node.col_offset), b"".join(lines[first - 1 : node.end_lineno])
        mentioned = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        (functions if isinstance(node, ast.FunctionDef) else others)[at] = text, mentioned
        if isinstance(node, ast.FunctionDef):
            named.setdefault(node.name, []).append(at)

    def key(place):
        needed, left = {}, [(place, functions[place]), *others.items()]
        while left:
            at, (text, mentioned) = left.pop()
            if at not in needed:
                needed[at] = text
                left += [(other, functions[other]) for name in mentioned & named.keys() for other in named[name]]
        return digest([functions[place][0], *(needed[at] for at in sorted(needed))])

    return {place[0]: key(place) for place in functions}


def digest(texts):
    return hashlib.sha256(b"".join(struct.pack("=Q", len(text)) + text for text in texts)).hexdigest()[:32]


def files(folder):
    """The content of each file of a folder, by name; of none if there is no folder."""
    contents = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_file():
                with open(entry, "rb") as file:
                    contents[entry.name] = file.read()
    return contents


def packed(name, content):
    """A file as the lengths of its name and content, its name, and its content."""
    return ENTRY.pack(len(name.encode()), len(content)) + name.encode() + content


def unpacked(kept):
    """The content of each file that was `packed` into the file `kept`, by name."""
    content = os.pread(kept, os.fstat(kept).st_size, 0)
    contents, at = {}, 0
    while at < len(content):
        name_bytes, bytes_ = ENTRY.unpack_from(content, at)
        middle = at + ENTRY.size + name_bytes
        contents[content[at + ENTRY.size : middle].decode()] = content[middle : middle + bytes_]
        at = middle + bytes_
    return contents
