"""Packs SGLang's experts with a program that PackEvolve evolved: a plug-in of the group `sglang.srt.plugins`.

It replaces `balanced_packing`, which the algorithms `deepseek`, `deepseek_hierarchical`, `elasticity_aware` and
`elasticity_aware_hierarchical` call. `deepseek_vec` has a packing of its own, which is not replaced.

If the program is a policy, which may start from the plan in force, it replaces the planner of `deepseek` and
`deepseek_hierarchical` instead. SGLang passes no plan, so the last one is kept here; after a restart there is none.
"""

import inspect
import logging

from . import guard
from .memory import Memory

#: Versions of SGLang that it was tried with.
TRIED = ("0.5.23",)
TARGET = "sglang.srt.eplb.eplb_algorithms.deepseek.balanced_packing"
PLANNER = "sglang.srt.eplb.eplb_algorithms.rebalance_experts"
ARGUMENTS = ["tokens_per_expert", "num_physical_experts", "num_local_physical_experts", "num_groups", "num_nodes", "algorithm"]
# SGLang may not have set up its logging yet when it loads plug-ins: warnings are seen before that too.
LOGGER = logging.getLogger("sglang.packevolve")

_has_packed = False
_memory = Memory()
_own_planner = None


def register():
    """SGLang calls it in every process. What goes wrong is logged: SGLang hides the failures of plug-ins."""
    if not guard.may_install("sglang", TRIED, LOGGER):
        return
    if guard.KEYWORDS:
        _register_policy()
        return
    try:
        from sglang.srt.eplb.eplb_algorithms import deepseek
        from sglang.srt.plugins.hook_registry import HookRegistry, HookType

        if not guard.PACKS:
            raise TypeError("the program has no balanced_packing, and takes neither old_phy2log nor history")
        parameters = list(inspect.signature(deepseek.balanced_packing).parameters)
        if parameters != ["weight", "num_packs"]:
            raise TypeError(f"balanced_packing of this SGLang takes {parameters}")
        HookRegistry.register(TARGET, balanced_packing, HookType.REPLACE)
    except Exception:
        LOGGER.exception("PackEvolve is NOT in place, SGLang's own packing stays")
        return
    LOGGER.warning("PackEvolve replaces balanced_packing by %s; its first packing is logged", guard.ORIGIN["title"])


def _register_policy():
    global _own_planner
    try:
        from sglang.srt.eplb import eplb_algorithms
        from sglang.srt.plugins.hook_registry import HookRegistry, HookType

        parameters = list(inspect.signature(eplb_algorithms.rebalance_experts).parameters)
        if parameters != ARGUMENTS:
            raise TypeError(f"rebalance_experts of this SGLang takes {parameters}")
        _own_planner = eplb_algorithms.rebalance_experts
        HookRegistry.register(PLANNER, rebalance_experts, HookType.REPLACE)
    except Exception:
        LOGGER.exception("PackEvolve is NOT in place, SGLang's own planner stays")
        return
    LOGGER.warning("PackEvolve replaces rebalance_experts by %s; its first plan is logged", guard.ORIGIN["title"])


def rebalance_experts(tokens_per_expert, num_physical_experts, num_local_physical_experts, num_groups, num_nodes,
                      algorithm):
    """phy2log, log2phy and logcnt, int64 on the CPU, from loads [steps, layers, experts]."""
    global _has_packed
    if algorithm.name not in ("deepseek", "deepseek_hierarchical"):
        return _own_planner(tokens_per_expert, num_physical_experts, num_local_physical_experts, num_groups, num_nodes,
                            algorithm)
    if not _has_packed:
        _has_packed = True
        LOGGER.warning("PackEvolve is in place: %s plans", guard.ORIGIN["title"])
    weight = guard.plain(tokens_per_expert.sum(dim=0))
    groups, nodes = (num_groups, num_nodes) if algorithm.name == "deepseek_hierarchical" else (1, 1)
    shape = (num_physical_experts, groups, nodes, num_physical_experts // num_local_physical_experts)
    history, old = _memory.recall(weight, *shape)
    plan = guard.planned(weight, *shape, old, history)
    _memory.plan = plan[0].clone()
    return plan


def balanced_packing(weight, num_packs):
    """The pack of each item and its rank there, int64 [X, n] on the CPU. Raises ValueError for unfit loads."""
    global _has_packed
    if not _has_packed:
        _has_packed = True
        LOGGER.warning("PackEvolve is in place: %s packs", guard.ORIGIN["title"])
    return guard.packed(weight, num_packs)
