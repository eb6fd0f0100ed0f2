"""The engines' own planners as programs for the judge, to be measured by `packevolve compare`.

    python programs.py CACHE

CACHE is the folder of the engines' sources, which are fetched if it lacks them; `make engines` has it in
`target/engines`. The programs go to its folder `programs`. Each holds a source of an engine without its imports of the
engine, and calls it as the engine does, with the plan in force where the engine hands it on.
"""

import ast
import sys
from pathlib import Path
from typing import NamedTuple

import fetch

HERE = Path(__file__).parent
#: What programs may import besides the standard library.
OFFERED = ("torch", "numpy", "numba")
#: The three maps of a plan, which some engines make elsewhere.
MAPS = '''

def _maps(phy2log, experts):
    layers, replicas = phy2log.shape
    counts = torch.zeros(layers, experts, dtype=torch.int64).scatter_add_(1, phy2log, torch.ones_like(phy2log))
    log2phy = torch.full((layers, experts, int(counts.max())), -1, dtype=torch.int64)
    order = phy2log.argsort(dim=1, stable=True)
    expert = phy2log.gather(1, order)
    rank = torch.arange(replicas) - (counts.cumsum(1) - counts).gather(1, expert)
    log2phy[torch.arange(layers)[:, None], expert, rank] = order
    return phy2log, log2phy, counts
'''
SGLANG = '''

_engines = rebalance_experts


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):
    return _engines(weight, num_replicas, num_groups, num_nodes, num_gpus, num_groups % num_nodes == 0)
'''
VLLM = MAPS + '''

def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None):
    plan = DefaultEplbPolicy.rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, old_phy2log)
    return _maps(plan.long(), weight.shape[1])
'''
# Its loads are those of slots. It knows no groups, and asks torch_npu how many devices a host has.
ASCEND = MAPS + '''

class _Devices:
    device_count = staticmethod(lambda: _Devices.of_host)


torch.npu = _Devices


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None):
    layers, experts = weight.shape
    _Devices.of_host = num_gpus // num_nodes
    old = old_phy2log
    if old is None:
        old = (torch.arange(num_replicas) % experts).repeat(layers, 1)
    share = (weight / _maps(old, experts)[2]).gather(1, old)
    shape = (layers, num_gpus, -1)
    changed, _, table = {policy}().rebalance_experts(old.reshape(shape).clone(), share.reshape(shape).clone())
    plan = torch.as_tensor(table).reshape(layers, -1).long() if changed else old.clone()
    return _maps(plan, experts)
'''
POLICIES = "vllm_ascend/eplb/core/policy/policy_"


class Planner(NamedTuple):
    """A source of an engine, and what calls it."""
    distribution: str
    source: str
    adapter: str


PLANNERS = {
    "sglang": Planner("sglang", "sglang/srt/eplb/eplb_algorithms/deepseek.py", SGLANG),
    "vllm": Planner("vllm", "vllm/distributed/eplb/policy/default.py", VLLM),
    "ascend": Planner("vllm-ascend", f"{POLICIES}default_eplb.py", ASCEND.replace("{policy}", "DefaultEplb")),
    "ascend_swift": Planner("vllm-ascend", f"{POLICIES}swift_balancer.py", ASCEND.replace("{policy}", "SwiftBalanceEplb")),
}


def alone(source):
    """A source without its imports of what programs lack. What they bind is a class without anything."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        module = node.names[0].name if isinstance(node, ast.Import) else "." * node.level + (node.module or "")
        root = module.partition(".")[0]
        if root in OFFERED or root in sys.stdlib_module_names:
            continue
        bound = [(each.asname or each.name).partition(".")[0] for each in node.names]
        lines[node.lineno - 1:node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
        lines[node.lineno - 1] = " = ".join([*bound, "object"])
    return "\n".join(lines) + "\n"


def program(planner, tree, version):
    """The text of a program."""
    head = f"# The planner of {planner.distribution} {version}, {planner.source}, under its licence.\nimport torch\n\n"
    return head + alone((tree / planner.source).read_text(encoding="utf-8")) + planner.adapter


def written(cache, versions):
    """The paths of the programs, of engines of these versions."""
    folder = Path(cache) / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, planner in PLANNERS.items():
        version = versions[planner.distribution]
        paths.append(folder / f"{name}.py")
        paths[-1].write_text(program(planner, fetch.tree(cache, planner.distribution, version), version), encoding="utf-8")
    eplb = folder / "deepseek.py"
    eplb.write_text((HERE.parents[1] / "candidates/eplb.py").read_text(encoding="utf-8"), encoding="utf-8")
    return [eplb, *paths]


if __name__ == "__main__":
    print(*written(sys.argv[1], fetch.VERSIONS), sep="\n")
