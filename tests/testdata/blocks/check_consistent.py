"""Checks that programs give the same answer in another process, and for each row the same as among other rows.

    python check_consistent.py PROGRAM...

Every rank of a deployment plans for itself, so its answer must not depend on the processor, the number of threads, a
seed, or on what else is planned in the same call. Prints one line per program, input and check. Exit status: 0 if all
hold, 1 if one does not.
"""

import functools
import hashlib
import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from numpy._core._multiarray_umath import __cpu_dispatch__ as NUMPY_FEATURES

# What differs in another process. All at once first; if a program answers differently, one by one, to say which it is.
SWITCHES = {
    "PYTHONHASHSEED": "7",
    "ATEN_CPU_CAPABILITY": "default",
    "NPY_DISABLE_CPU_FEATURES": " ".join(NUMPY_FEATURES),
    "NUMBA_CPU_NAME": "generic",
    "OMP_NUM_THREADS": "2",
    "SEED": "5",  # of the global generators
}


def load_program(path):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


@functools.cache
def inputs():
    """(name, weight, num_packs): what `balanced_packing` is given of skewed loads, with many ties among them."""
    eplb = load_program(Path(__file__).parents[3] / "candidates/eplb.py")

    def counts(rows, experts, scale):
        return torch.from_numpy(np.random.default_rng(rows).lognormal(size=(rows, experts)) * scale).round()

    def replicated(loads, replicas):
        """The replicas of an expert are equally heavy."""
        expert, _, count = eplb.replicate_experts(loads, replicas)
        return (loads / count).gather(1, expert)

    few = counts(10, 72, 3.0)
    few[3], few[4] = 0, 7
    return [(name, weight.float().contiguous(), num_packs) for name, weight, num_packs in [
        ("replicas, 72->8", replicated(counts(24, 64, 2.0**18), 72), 8),
        ("replicas, 288->32", replicated(counts(12, 256, 2.0**18), 288), 32),
        ("replicas of few, 96->16", replicated(counts(12, 16, 2.0**30), 96), 16),
        ("small numbers, 72->8", few, 8),
        ("counts, 256->64", counts(8, 256, 2.0**40), 64),
    ]]


def answer(program, weight, num_packs):
    """[rows, items]: the place of each item."""
    pack, rank = program.balanced_packing(weight, num_packs)
    return (pack * (weight.shape[1] // num_packs) + rank).cpu().numpy()


def answers(path):
    """To each input, as text."""
    program = load_program(path)
    return [hashlib.sha256(answer(program, weight, packs).tobytes()).hexdigest() for _, weight, packs in inputs()]


def elsewhere(paths, switches):
    """The answers of programs in a process that is started with these switches."""
    usual = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    command = [sys.executable, "-B", __file__, "--answers", *paths]
    return json.loads(subprocess.check_output(command, env=usual | {"OMP_NUM_THREADS": "1"} | switches))


def print_answers(paths):
    seed = int(os.environ.get("SEED", "1"))
    for each in (random.seed, np.random.seed, torch.manual_seed):
        each(seed)
    json.dump([answers(path) for path in paths], sys.stdout)


def parts(rows):
    """Selections of the rows: turned around, halves, each alone."""
    every = np.arange(rows)
    yield "turned around", every[::-1].copy()
    yield "first half", every[:rows // 2]
    yield "second half", every[rows // 2:]
    yield from ((f"row {row} alone", every[row:row + 1]) for row in every)


def row_by_row(program, weight, num_packs):
    """What of a program's answer depends on which other rows are there, or on their order."""
    whole = answer(program, weight, num_packs)
    for name, rows in parts(len(weight)):
        if not (answer(program, weight[rows].contiguous(), num_packs) == whole[rows]).all():
            yield name


def checks(paths):
    """(what is checked, what is wrong with it) of everything."""
    usual, other = elsewhere(paths, {}), elsewhere(paths, SWITCHES)
    alone = {name: elsewhere(paths, {name: value}) for name, value in SWITCHES.items()} if other != usual else {}
    for number, path in enumerate(paths):
        program = load_program(path)
        for place, (name, weight, num_packs) in enumerate(inputs()):
            about = f"{Path(path).name} on {name}"
            one, two, *each = (some[number][place] for some in (usual, other, *alone.values()))
            culprits = [switch for switch, answer in zip(alone, each) if answer != one]
            yield f"{about}: the same elsewhere", one != two and (culprits or "with all switches together")
            yield f"{about}: a row is a row", list(row_by_row(program, weight, num_packs))


def main(paths):
    torch.set_num_threads(1)
    failed = 0
    for what, wrong in checks(paths):
        print(f"FAILED {what}: {wrong}" if wrong else f"ok {what}")
        failed += bool(wrong)
    print(f"{failed} checks failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1] == "--answers":
        sys.exit(print_answers(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
