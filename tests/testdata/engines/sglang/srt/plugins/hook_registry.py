"""A double of SGLang's hooks: replacing a function of a module, when all plug-ins are loaded."""

import enum
import importlib
import logging


class HookType(enum.Enum):
    REPLACE = "replace"


class HookRegistry:
    hooks = {}

    @classmethod
    def register(cls, target, hook, hook_type):
        assert hook_type is HookType.REPLACE
        cls.hooks[target] = hook

    @classmethod
    def apply_hooks(cls):
        for target, hook in cls.hooks.items():
            module, _, name = target.rpartition(".")
            assert hasattr(importlib.import_module(module), name), target
            setattr(importlib.import_module(module), name, hook)
            logging.info("Applied 1 hook(s) to %s", target)
