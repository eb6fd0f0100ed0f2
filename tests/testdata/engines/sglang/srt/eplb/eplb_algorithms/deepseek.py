"""A double of SGLang's planner: a whole rebalance that looks `balanced_packing` up in this module at each call."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("sglang_eplb", Path(__file__).parents[7] / "candidates/eplb.py")
_eplb = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_eplb)
balanced_packing = _eplb.balanced_packing
_eplb.balanced_packing = lambda weight, num_packs: balanced_packing(weight, num_packs)


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, enable_hierarchical):
    groups, nodes = (num_groups, num_nodes) if enable_hierarchical else (1, 1)
    return _eplb.rebalance_experts(weight.float().cpu(), num_replicas, groups, nodes, num_gpus)
