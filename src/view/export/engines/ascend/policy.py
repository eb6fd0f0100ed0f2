"""vllm-ascend's expert placement policy, planned by the program of this package."""

import numpy as np
import torch
from vllm_ascend.eplb.core.policy.policy_abstract import EplbPolicy

from . import guard, placement
from .memory import Memory


class PackEvolvePolicy(EplbPolicy):
    """Plans each layer over all ranks. A layer stays where its heaviest rank gets no lighter, or doubles are left."""

    def rebalance_experts(self, current_expert_table, expert_workload):
        """
        Parameters:
            current_expert_table: [layers, ranks, slots], the expert in each slot now
            expert_workload: the same shape, the load of each slot

        Returns:
            changed: 1 if a layer changes, else 0
            priority: layers, the one that gains most first
            table: lists [layers, ranks, slots], the expert in each slot. No rank holds an expert twice, and an expert
                that stays on its rank keeps its slot.

        Raises ValueError for loads that are negative or not finite, and for slots without an expert.
        """
        table = np.asarray(current_expert_table, dtype=np.int64)
        workload = np.asarray(expert_workload, dtype=np.float64)
        if table.ndim != 3 or table.shape != workload.shape:
            raise guard.Refused(f"experts and loads must be [layers, ranks, slots], "
                                f"but their shapes are {list(table.shape)} and {list(workload.shape)}")
        if table.size == 0:
            return 0, np.arange(len(table)), table.tolist()
        if table.min() < 0:
            layer, rank, slot = np.argwhere(table < 0)[0].tolist()
            raise guard.Refused(f"slot {slot} of rank {rank} in layer {layer} has no expert")
        guard.check_loads(torch.from_numpy(workload.reshape(len(workload), -1)), "layer", "slot")
        absent = placement.absent_experts(table)
        if len(absent):
            raise guard.Refused(f"expert {absent[0, 1]} has no slot in layer {absent[0, 0]}")
        ratio, new = self._planned(table, workload)
        return int((new != table).any()), np.argsort(ratio, kind="stable"), new.tolist()

    memory = Memory()

    @classmethod
    def _planned(cls, table, workload):
        """What each layer's heaviest rank has left of its load, and the new table."""
        layers, ranks, slots = table.shape
        loads = placement.loads_of_experts(table, workload)
        history = None
        if guard.KEYWORDS:
            history, _ = cls.memory.recall(guard.plain(loads), ranks, slots)
        old = table.reshape(layers, -1)
        plan, _, counts = guard.planned(torch.from_numpy(loads), ranks * slots, 1, 1, ranks, old, history)
        ratio, new = np.ones(layers), table.copy()
        for layer, share in enumerate(loads / counts.numpy()):
            parted = placement.parted(plan[layer].numpy().reshape(ranks, slots), share)
            before = workload[layer].sum(1).max()
            if parted is None or share[parted].sum(1).max() >= before:
                continue
            ratio[layer] = share[parted].sum(1).max() / before
            new[layer] = placement.with_kept_slots(parted, table[layer])
        return ratio, new
