"""Plans the experts of vLLM on Ascend with a program that PackEvolve evolved: a plug-in of `vllm.general_plugins`.

It takes the place of the policy that `eplb_policy_type: 1` names; the other policies stay as they are.
"""

import logging

from . import guard

#: Versions of vllm-ascend that it was tried with.
TRIED = ("0.23.0",)
POLICY_TYPE = 1
# Below `vllm`, whose messages vLLM prints.
LOGGER = logging.getLogger("vllm.packevolve")


def register():
    """vLLM calls it in every process, and ends if it raises."""
    if not guard.may_install("vllm-ascend", TRIED, LOGGER):
        return
    try:
        from vllm_ascend.eplb.core.policy.policy_factory import PolicyFactory

        from .policy import PackEvolvePolicy
    except Exception:
        LOGGER.exception("PackEvolve is NOT in place, vllm-ascend's own policies stay")
        return
    own = PolicyFactory.generate_policy
    if getattr(own, "is_of_packevolve", False):
        return

    def generate_policy(policy_type):
        if policy_type != POLICY_TYPE:
            LOGGER.warning("PackEvolve is NOT in place: eplb_policy_type is %s, and PackEvolve plans for %s",
                           policy_type, POLICY_TYPE)
            return own(policy_type)
        LOGGER.warning("PackEvolve is in place: %s is the policy %s", guard.ORIGIN["title"], POLICY_TYPE)
        return PackEvolvePolicy()

    generate_policy.is_of_packevolve = True
    PolicyFactory.generate_policy = staticmethod(generate_policy)
    LOGGER.warning("PackEvolve is loaded: %s plans where eplb_policy_type is %s", guard.ORIGIN["title"], POLICY_TYPE)
