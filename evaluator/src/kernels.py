"""Kernels: what a program compiles with Numba while it warms up, and how the other children of an evaluation get it.

Numba compiles a function at its first call, in the process, which takes a second or two. Before the first program that
uses it, the nursery imports Numba and compiles once, so that no child pays for the set-up. Of an evaluation only the first child compiles: before it sees loads
that are scored, it writes what it has compiled into a file that the judge seals and hands to the others. So no child can
pass on what it saw. What is in the file is the program's own and is read inside the jail only.

Numba keeps on disk what belongs to a file that it finds, with the time of that file. The program is none, so a locator
tells Numba where the functions of the program are kept, and that their source is the same in every child.
"""

import contextlib
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
        # Whether this child may still write what it has compiled.
        self.writes = False
        # The name of the program, and where its functions are kept.
        self.name = None
        self.folder = None

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
                self.line = function.__code__.co_firstlineno
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
                return str(self.line)

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

            def on_start(self, _):
                self.begins.append(time.perf_counter())

            def on_end(self, _):
                begin = self.begins.pop()
                # Numba compiles functions of its own for one of the program.
                if not self.begins:
                    kernels.compiled += 1
                    kernels.seconds += time.perf_counter() - begin

        event.register("numba:compile", Listener())

    def open(self, source, name, kept):
        """Prepares for a program, and takes over what another child has compiled, if one did. Closes the file `kept` unless
        this child may be asked to write it: a program is not to hold what it has no use for."""
        if NAME not in source or not self.is_ready:
            os.close(kept)
            return
        folder = os.path.abspath(CACHE)
        # Without a scratch folder every child compiles.
        with contextlib.suppress(OSError):
            os.makedirs(folder)
            self.name, self.folder = name, folder
            unpack(kept, folder)
        self.writes = os.fstat(kept).st_size == 0
        if not self.writes:
            os.close(kept)

    def keep(self, kept):
        """Writes what was compiled so far into the file `kept`, and closes it."""
        if self.writes:
            self.writes = False
            with os.fdopen(kept, "wb") as file:
                file.writelines(entries(self.folder or CACHE))


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


def entries(folder):
    """The files of a folder, each as the lengths of its name and content, its name, and its content."""
    for inner, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(inner, name)
            with open(path, "rb") as file:
                content = file.read()
            place = os.path.relpath(path, folder).encode()
            yield ENTRY.pack(len(place), len(content)) + place + content


def unpack(kept, folder):
    """Writes the files that `entries` has packed."""
    content = os.pread(kept, os.fstat(kept).st_size, 0)
    at = 0
    while at < len(content):
        name_bytes, bytes_ = ENTRY.unpack_from(content, at)
        at += ENTRY.size
        path = os.path.join(folder, content[at : at + name_bytes].decode())
        at += name_bytes
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content[at : at + bytes_])
        at += bytes_
