"""A double of vllm-ascend's interface of policies."""


class EplbPolicy:
    pass
