"""Checks that an exported policy starts from what is in force, in a double of its engine.

    python policies.py ENGINE PACKAGE FOLDER

Installs PACKAGE into FOLDER, as `offline.py` does. Prints, as one line of JSON, the share of the slots that each plan
changes, and a digest of all plans: two processes must print the same.
"""

import hashlib
import json
import sys
from pathlib import Path

import offline

GROUPS, NODES = 8, 4


def windows():
    import numpy as np

    rng = np.random.default_rng(3)
    loads = rng.lognormal(0, 0.8, (4, 64))
    for _ in range(4):
        loads = loads * np.exp(0.05 * rng.standard_normal(loads.shape))
        yield np.round(loads * 1e5).astype(np.float32)


def main(engine, package, folder):
    package, folder = Path(package), Path(folder)
    offline.install(package, folder)
    sys.path.insert(0, str(folder))
    import engines
    import torch

    offline.described(folder, engines.ENGINES[engine].distribution, offline.tried(package, engine), {})
    engines.prepare(engine, [offline.DOUBLES])
    log = engines.heard()
    engines.load_plugins(engine)
    assert log.says("PackEvolve is in place" if engine == "vllm" else "PackEvolve replaces rebalance_experts"), log.lines
    plan = {"vllm": vllm, "sglang": sglang}[engine]
    digest, old, changed = hashlib.sha256(), None, []
    for loads in windows():
        new = plan(torch.from_numpy(loads), 80, 16, old)
        if old is not None:
            changed.append(float((new != old).float().mean()))
        digest.update(new.numpy().tobytes())
        old = new
    # A scale-up, and the same shape again: nothing that was kept before may matter, as new ranks do not know it.
    last = torch.from_numpy(loads)
    more = plan(last, 96, 32, None)
    again = plan(last, 80, 16, None)
    fresh = restarted(engine, plan, last)
    assert tuple(more.shape) == (4, 96) and torch.equal(again, fresh), "something was kept over a scale-up"
    digest.update(more.numpy().tobytes() + again.numpy().tobytes())
    print(json.dumps({"changed": changed, "moved": measured(engine), "digest": digest.hexdigest()}))


def measured(engine):
    """The percentages that the table of `make engines` says that it moves: with the plan in force, and without."""
    import conformance
    import engines
    import numpy as np
    import table

    planner = engines.of_package(engine, conformance.PLANNERS[engine]())
    topology = engines.Topology(80, 1, 1, 16)
    rows = [table.row("global", engine, planner, np.stack(list(windows())), topology, 2, starts) for starts in (True, False)]
    return [float(row[table.HEAD.index("kept %")]) for row in rows]


def restarted(engine, plan, loads):
    """The plan of a process that has planned nothing."""
    import importlib

    memory = importlib.import_module(f"packevolve_{engine}.memory").Memory
    if engine == "vllm":
        importlib.import_module("packevolve_vllm.policy").PackEvolvePolicy.memory = memory()
    else:
        importlib.import_module("packevolve_sglang")._memory = memory()
    return plan(loads, 80, 16, None)


def vllm(loads, slots, ranks, old):
    import engines

    return engines.vllm_policy().rebalance_experts(loads, slots, GROUPS, NODES, ranks, old)


def sglang(loads, slots, ranks, _):
    from sglang.srt.eplb import eplb_algorithms

    algorithm = eplb_algorithms.EplbAlgorithm.deepseek_hierarchical
    steps = loads[None]
    return eplb_algorithms.rebalance_experts(steps, slots, slots // ranks, GROUPS, NODES, algorithm)[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
