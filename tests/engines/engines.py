"""Each engine in a process of its own: its loader of plug-ins and its planners, by the engine's own code.

A planner is a function of loads [layers, experts] as float32 tensor, a topology, the placement in force as int64 array, and
the loads of the windows before as a list of such tensors; it returns a placement as int64 array [layers, replicas]. It
keeps nothing between two calls: what a package remembers of earlier ones is what the call is given.
"""

import importlib
import logging
from typing import NamedTuple

import stubs


class Topology(NamedTuple):
    replicas: int
    groups: int
    nodes: int
    gpus: int


class Engine(NamedTuple):
    #: Its distribution; None for none.
    distribution: str | None
    #: Packages whose `__init__.py` is not run, and modules that need a device.
    hollow: tuple = ()
    left_out: tuple = ()
    #: The module and the function that load plug-ins, as the engine's processes call it.
    loader: tuple | None = None


VLLM_HALVES = {"hollow": ("vllm", "vllm.config", "vllm.distributed"), "left_out": ("vllm.distributed.parallel_state",)}
ENGINES = {
    "deepseek": Engine(None),
    "sglang": Engine("sglang", ("sglang",), ("sglang.srt.runtime_context",),
                     ("sglang.srt.plugins", "load_plugins")),
    "vllm": Engine("vllm", **VLLM_HALVES, loader=("vllm.plugins", "load_general_plugins")),
    "ascend": Engine("vllm-ascend", (*VLLM_HALVES["hollow"], "vllm_ascend"),
                     (*VLLM_HALVES["left_out"], "vllm_ascend.distributed.parallel_state",
                      "vllm_ascend.eplb.core.eplb_utils"),
                     ("vllm.plugins", "load_general_plugins")),
}


class Heard(logging.Handler):
    """What is logged by the plug-in and by the engine about it."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.records = []

    def emit(self, record):
        if record not in self.records:  # Some loggers pass it on, some do not.
            self.records.append(record)

    @property
    def lines(self):
        return [(record.levelname, record.getMessage()) for record in self.records]

    def says(self, words):
        return any(words in line for _, line in self.lines)


def heard():
    """A handler on all loggers, those that pass nothing on included."""
    handler = Heard()
    for name in ("", "vllm", "sglang"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    return handler


def prepare(name, trees):
    """Puts the engine's sources on the path, the missing rest stubbed. Returns what is stubbed."""
    engine = ENGINES[name]
    return [stubs.install(tree, engine.hollow, engine.left_out) for tree in trees]


def load_plugins(name):
    """Calls the engine's own loader, which finds the package by its entry point."""
    module, function = ENGINES[name].loader
    getattr(importlib.import_module(module), function)()


def guard_of(name):
    """The part of the loaded package that knows its program."""
    return importlib.import_module(f"packevolve_{name}.guard")


def remember(name, windows=(), plan=None, deployment=()):
    """Makes a loaded package remember these windows, the last plan, and nothing else, as after a restart."""
    import torch

    if name == "deepseek":  # Its caller keeps all.
        return
    memory = importlib.import_module(f"packevolve_{name}.memory").Memory()
    for window in windows:
        memory.recall(guard_of(name).plain(window), *deployment)
    memory.plan = None if plan is None else torch.from_numpy(plan.copy())
    if name == "sglang":
        importlib.import_module("packevolve_sglang")._memory = memory
    else:
        importlib.import_module(f"packevolve_{name}.policy").PackEvolvePolicy.memory = memory


def of_package(name, planner):
    """The planner of an engine with its package loaded, which remembers what each call is given."""
    def plan(loads, topology, old=None, windows=()):
        deployment = (topology.gpus, topology.replicas // topology.gpus) if name == "ascend" else tuple(topology)
        remember(name, windows, old, deployment)
        return planner(loads, topology, old, windows)

    return plan


def sglang_planner(algorithm):
    """SGLang's entry point, with one step of loads."""
    from sglang.srt.eplb import eplb_algorithms

    def plan(loads, topology, _=None, __=()):
        is_global = topology.nodes == 1
        chosen = eplb_algorithms.EplbAlgorithm[algorithm if is_global else f"{algorithm}_hierarchical"]
        slots = topology.replicas // topology.gpus
        tables = eplb_algorithms.rebalance_experts(loads[None], topology.replicas, slots, topology.groups,
                                                   topology.nodes, chosen)
        return tables[0].long().numpy()

    return plan


def vllm_policy():
    """The policy that vLLM's state takes by the name `default`."""
    from vllm.distributed.eplb.policy import EPLB_POLICIES

    return EPLB_POLICIES["default"]


def vllm_planner():
    import torch

    policy = vllm_policy()

    def plan(loads, topology, old=None, _=()):
        old = None if old is None else torch.from_numpy(old)
        return policy.rebalance_experts(loads, *topology, old).numpy()

    return plan


def module_planner(module):
    """A module with DeepSeek's interface."""
    def plan(loads, topology, _=None, __=()):
        return module.rebalance_experts(loads, *topology)[0].numpy()

    return plan


def deepseek_planner():
    """The package with DeepSeek's interface, which hands on what a policy starts from."""
    import torch

    package = importlib.import_module("packevolve_deepseek")

    def plan(loads, topology, old=None, windows=()):
        old = None if old is None else torch.from_numpy(old)
        history = torch.stack(list(windows)) if windows else None
        return package.rebalance_experts(loads, *topology, old_phy2log=old, history=history)[0].numpy()

    return plan
