"""A double of SGLang's loader of plug-ins: it logs what they raise and carries on."""

import logging
from importlib.metadata import entry_points

from sglang.srt.plugins.hook_registry import HookRegistry


def load_plugins():
    for point in entry_points(group="sglang.srt.plugins"):
        try:
            point.load()()
        except Exception:
            logging.exception("Failed to execute general plugin: %s", point.name)
    HookRegistry.apply_hooks()
