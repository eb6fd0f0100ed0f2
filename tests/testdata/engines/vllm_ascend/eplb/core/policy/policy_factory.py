"""A double of vllm-ascend's choice of policy."""

from vllm_ascend.eplb.core.policy.policy_abstract import EplbPolicy


class PolicyFactory:
    @staticmethod
    def generate_policy(policy_type):
        return EplbPolicy()
