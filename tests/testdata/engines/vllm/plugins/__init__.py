"""A double of vLLM's loader of plug-ins: what they raise ends the engine."""

from importlib.metadata import entry_points


def load_general_plugins():
    for point in entry_points(group="vllm.general_plugins"):
        point.load()()
