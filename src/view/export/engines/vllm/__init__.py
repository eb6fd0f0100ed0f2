"""Plans vLLM's experts with a program that PackEvolve evolved: a plug-in of the group `vllm.general_plugins`.

It takes the place of the policy `default`: the name is kept, as asynchronous rebalancing is allowed for that one.
"""

import logging

from . import guard

#: Versions of vLLM that it was tried with.
TRIED = ("0.33.0", "0.32.0")
# Below `vllm`, whose messages vLLM prints.
LOGGER = logging.getLogger("vllm.packevolve")


def register():
    """vLLM calls it in every process, and ends if it raises."""
    if not guard.may_install("vllm", TRIED, LOGGER):
        return
    try:
        from vllm.distributed.eplb.policy import EPLB_POLICIES

        from .policy import PackEvolvePolicy

        EPLB_POLICIES["default"] = PackEvolvePolicy
    except Exception:
        LOGGER.exception("PackEvolve is NOT in place, vLLM's own policy stays")
        return
    LOGGER.warning("PackEvolve is in place: %s is the policy `default`", guard.ORIGIN["title"])
