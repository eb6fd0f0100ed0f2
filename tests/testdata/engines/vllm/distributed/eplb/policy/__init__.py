"""A double of vLLM's policies."""

import placements


class AbstractEplbPolicy:
    pass


class DefaultEplbPolicy(AbstractEplbPolicy):
    @classmethod
    def preserve_intragpu_slots(cls, phy2log, num_ranks, old_phy2log):
        return placements.with_kept_slots(phy2log, old_phy2log, num_ranks)


EPLB_POLICIES = {"default": DefaultEplbPolicy}
