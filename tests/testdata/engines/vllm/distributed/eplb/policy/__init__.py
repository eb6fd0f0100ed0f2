"""A double of vLLM's policies."""

import numpy as np
import placements


class AbstractEplbPolicy:
    pass


class DefaultEplbPolicy(AbstractEplbPolicy):
    @classmethod
    def balanced_packing(cls, weight, num_packs):
        """Deals the items, the heaviest first."""
        rank = np.argsort(np.argsort(-weight, 1, kind="stable"), 1, kind="stable")
        return rank % num_packs, rank // num_packs

    @classmethod
    def preserve_intragpu_slots(cls, phy2log, num_ranks, old_phy2log):
        return placements.with_kept_slots(phy2log, old_phy2log, num_ranks)


EPLB_POLICIES = {"default": DefaultEplbPolicy}
