"""Loads exported packages into the engines and compares planners: `make engines`.

Downloads the engines once, exports the program for each of them, installs each package into a folder of its own, and
runs each engine in a process of its own, by its own loader of plug-ins. Prints a table in Markdown. Exit status: 0 if
all checks hold, 1 if one does not.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import fetch
import loads
import numpy as np
import plan_files
import programs
from engines import ENGINES

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# What may differ from process to process; the plans must not.
OTHER_PROCESS = {"PYTHONHASHSEED": "7", "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2"}


def parsed():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packevolve", required=True, help="the program, as built")
    parser.add_argument("--cache", required=True, type=Path, help="folder for the engines' sources and the packages")
    parser.add_argument("--program", type=Path, help="a program file [default: the best of the newest run]")
    parser.add_argument("--run", help="the run to take the best of")
    parser.add_argument("--loads", help=".csv or .npy, or a folder of them [default: made up]")
    parser.add_argument("--windows", type=int, default=8, help="how many windows at most")
    parser.add_argument("--rounds", type=int, default=3, help="calls for each window; the median counts")
    parser.add_argument("--version", action="append", default=[], metavar="ENGINE=VERSION")
    for name, default in (("gpus", 32), ("nodes", 4), ("groups", 8), ("replicas", None)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def versions(asked):
    chosen = dict(fetch.VERSIONS)
    for pair in asked:
        name, _, version = pair.partition("=")
        if name not in chosen or not version:
            sys.exit(f"error: --version {pair} names none of {', '.join(chosen)}")
        chosen[name] = version
    return chosen


def of_program(arguments):
    """The options that name the program."""
    program = ["--program", str(arguments.program)] if arguments.program else []
    return program + (["--run", arguments.run] if arguments.run else [])


def exported(arguments, engine):
    """The folder with the installed package, and the words that name its program."""
    package, installed = (arguments.cache / folder / engine for folder in ("packages", "installed"))
    shutil.rmtree(package, ignore_errors=True)
    command = [arguments.packevolve, "export", "--engine", engine, "-o", str(package), "--quiet"]
    command += of_program(arguments)
    if subprocess.run(command).returncode != 0:
        sys.exit(1)
    fetch.install(package, installed)
    return installed, json.loads((installed / f"packevolve_{engine}/origin.json").read_text())["title"]


def run_engine(task, installed, environment):
    path = os.pathsep.join([str(HERE), str(installed)])
    command = [sys.executable, "-B", str(HERE / "child.py"), json.dumps(task)]
    environment = {"OMP_NUM_THREADS": "1", **environment}
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": path, **environment})
    if output.returncode != 0:
        sys.exit(f"error: the process of {task['engine']} ended with {output.returncode}")
    return json.loads(output.stdout.splitlines()[-1])


def one_engine(arguments, engine, chosen, plans):
    """Checks an engine, which is given these files of plans; returns how many failed, the rows of the table, and the words
    that name the program."""
    distribution = ENGINES[engine].distribution
    needed = {"ascend": ["vllm-ascend", "vllm"]}.get(engine, [distribution] if distribution else [])
    trees = [str(fetch.tree(arguments.cache, name, chosen[name]).resolve()) for name in needed]
    installed, title = exported(arguments, engine)
    print(f"{engine}: {title}", file=sys.stderr)
    topology = {name: getattr(arguments, name) for name in ("gpus", "nodes", "groups", "replicas")}
    task = {"engine": engine, "trees": trees, "version": chosen.get(distribution), "winner": title.split(" (")[0],
            "baseline": str(ROOT / "candidates/eplb.py"), "windows": str(arguments.cache / "windows.npy"),
            "topology": topology, "rounds": arguments.rounds, "measure": True, "plans": plans}
    result = run_engine(task, installed, {})
    other = run_engine({**task, "measure": False}, installed, OTHER_PROCESS)
    alike = result["digest"] == other["digest"]
    print(f"{'ok      ' if alike else 'FAILED  '}another_process_plans_alike", file=sys.stderr)
    return result["failed"] + (not alike), result["rows"], title


def machine():
    names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")]
    return names[0] if names else "unknown processor"


def about(arguments, windows, chosen, torch_version):
    """What the table was measured on, in one sentence each."""
    count, layers, experts = windows.shape
    replicas = arguments.replicas or experts + arguments.gpus
    engines = ", ".join(f"{name} {version}" for name, version in chosen.items())
    of = Path(arguments.loads).name if arguments.loads else "made-up loads"
    return (f"{count} windows of {of}: {layers} layers x {experts} experts, {replicas} "
            f"replicas on {arguments.gpus} GPUs of {arguments.nodes} nodes, {arguments.groups} groups. One thread of "
            f"{machine()}; torch {torch_version}, NumPy {np.__version__}, {engines}; {time.strftime('%Y-%m-%d')}.")


def main():
    arguments = parsed()
    chosen = versions(arguments.version)
    windows = (loads.windows_of(arguments.loads) if arguments.loads else loads.made_up())[:arguments.windows]
    arguments.cache.mkdir(parents=True, exist_ok=True)
    np.save(arguments.cache / "windows.npy", windows)
    failed, rows = 0, []
    topology = {name: getattr(arguments, name) for name in ("gpus", "nodes", "groups", "replicas")}
    plans = plan_files.made(arguments.packevolve, arguments.cache / "plans", arguments.cache / "windows.npy", topology,
                            of_program(arguments))
    for engine in ENGINES:
        failures, measured, title = one_engine(arguments, engine, chosen, plans)
        failed += failures
        rows += measured
    import table
    import torch

    rows.sort(key=lambda row: (row[0] == "global", "candidate" in row[1] or "program" in row[1]))
    print(table.markdown(rows))
    print(f"\n{title[0].upper()}{title[1:]}. {about(arguments, windows, chosen, torch.__version__)}")
    print("\nTheir planners as programs, for `packevolve compare`:", file=sys.stderr)
    print(*programs.written(arguments.cache, chosen), sep="\n", file=sys.stderr)
    if failed:
        sys.exit(f"error: {failed} checks failed")


if __name__ == "__main__":
    main()
