"""One engine in a process of its own: its own planners, then the package that its loader finds, checked and measured.

    python child.py SPECIFICATION

SPECIFICATION is JSON from `main.py`. Prints the result as one line of JSON. What checks find goes to stderr.
"""

import argparse
import importlib.util
import json
import sys
import traceback

import conformance
import engines
import numpy as np
import plan_files
import table
import torch


def run_checks(checks):
    """How many fail. Prints one line for each."""
    failed = 0
    for check in checks:
        name = getattr(check, "func", check).__name__
        try:
            check()
            print(f"ok      {name}", file=sys.stderr)
        except Exception:
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", file=sys.stderr)
    return failed


def own_planners(name, task):
    """What an engine plans with before the package is loaded, and what belongs to none."""
    if name == "sglang":
        return [(f"SGLang {task['version']} `{algorithm}`", engines.sglang_planner(algorithm))
                for algorithm in ("deepseek", "deepseek_vec")]
    if name == "vllm":
        return [(f"vLLM {task['version']} default", engines.vllm_planner())]
    if name == "deepseek":
        spec = importlib.util.spec_from_file_location("eplb", task["baseline"])
        baseline = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(baseline)
        return [("identity", table.identity), ("DeepSeek's loops", engines.module_planner(baseline))]
    return []


def measured(planners, task, starts=False):
    windows = np.load(task["windows"])
    layouts = table.topologies(windows.shape[2], argparse.Namespace(**task["topology"]))
    return [table.row(policy, planner, plan, windows, topology, task["rounds"], starts)
            for policy, topology in layouts.items() for planner, plan in planners]


def main():
    task = json.loads(sys.argv[1])
    name = task["engine"]
    torch.set_num_threads(1)
    engines.prepare(name, task["trees"])
    log = engines.heard()
    rows = measured(own_planners(name, task), task) if task["measure"] else []
    if engines.ENGINES[name].loader:
        engines.load_plugins(name)
    plan, checks = conformance.of_engine(name, log)
    checks += plan_files.checks(name, task["plans"], task["trees"])
    failed = run_checks(checks) if task["measure"] else 0
    # vllm-ascend's policy is measured by its checks alone: it takes other loads, and no nodes.
    if task["measure"] and name != "ascend":
        starts = bool(engines.guard_of(name).KEYWORDS)
        in_sglang = " in SGLang" if starts else " in SGLang, packing only"
        where = {"deepseek": "", "sglang": in_sglang, "vllm": " in vLLM"}[name]
        rows += measured([(f"{task['winner']}{where}", plan)], task, starts)
    print(json.dumps({"failed": failed, "rows": rows, "digest": conformance.digest(plan)}))


if __name__ == "__main__":
    main()
