"""vLLM's expert placement policy, planned by the program of this package."""

import numpy as np
import torch
from vllm.distributed.eplb.policy import DefaultEplbPolicy

from . import guard
from .memory import Memory


class PackEvolvePolicy(DefaultEplbPolicy):
    """Derived from vLLM's policy, whose `preserve_intragpu_slots` and replication it keeps. vLLM has the plan in force; the
    loads of earlier windows are kept here."""

    memory = Memory()

    @classmethod
    def balanced_packing(cls, weight, num_packs):
        """The pack of each item and its rank there: int64 arrays [X, n], of an array [X, n] of float32 or float64. Of a
        policy without a packing of its own: vLLM's."""
        plain = torch.from_numpy(np.ascontiguousarray(weight))
        if not guard.PACKS:
            guard.check_loads(plain, "row", "item")
            return super().balanced_packing(plain.numpy(), num_packs)
        pack_index, rank_in_pack = guard.packed(plain, num_packs)
        return pack_index.numpy(), rank_in_pack.numpy()

    @classmethod
    def rebalance_experts(cls, weight, num_replicas, num_groups, num_nodes, num_ranks, old_global_expert_indices=None):
        """
        The expert of each slot: int64 [layers, num_replicas] on the CPU.

        Parameters:
            weight: [layers, experts], a tensor on any device or an array
            num_groups: 0 for a model without expert groups
            old_global_expert_indices: [layers, num_replicas], the expert of each slot now. An expert that stays on its
                rank keeps its slot.

        Raises an error that is both AssertionError and ValueError for loads or a topology that cannot be planned.
        """
        old, history = old_global_expert_indices, None
        if guard.KEYWORDS:
            history, _ = cls.memory.recall(guard.plain(weight), num_replicas, num_groups, num_nodes, num_ranks)
        phy2log, _, _ = guard.planned(weight, num_replicas, num_groups, num_nodes, num_ranks, old, history)
        # With another number of ranks or slots there is nothing to keep.
        if old is None or tuple(old.shape) != tuple(phy2log.shape):
            return phy2log
        kept = cls.preserve_intragpu_slots(phy2log.numpy(), num_ranks, torch.as_tensor(old).cpu().numpy())
        return torch.from_numpy(kept)
