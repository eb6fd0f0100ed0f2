"""Stands in for what an engine imports and this Python lacks, so that its planners and loaders of plug-ins run alone.

`install(tree, hollow, left_out)` makes imports that files below `tree` make, and that find nothing, give a stub: a
module whose names are classes that accept any call, subscript and attribute, and that leave what they decorate
unchanged. A package in `hollow` is the tree's, but its `__init__.py` is not run: it would import half of the engine.
A module in `left_out` is a stub although the tree has it: it needs a device.
"""

import importlib.abc
import importlib.machinery
import sys
import types
from pathlib import Path


def _is_plain(name):
    return not (name.startswith("__") and name.endswith("__"))


def _decorated(arguments, keywords):
    """What a call decorates: its one argument, if that is a function or a class."""
    is_one = len(arguments) == 1 and not keywords
    return is_one and isinstance(arguments[0], (type, types.FunctionType, classmethod, staticmethod))


class _Class(type):
    def __getattr__(cls, name):
        if not _is_plain(name):
            raise AttributeError(name)
        return _stub_class(name)

    def __call__(cls, *arguments, **keywords):
        if not cls.__dict__.get("_is_stub"):  # A class of the engine, derived from a stub.
            return super().__call__(*arguments, **keywords)
        return arguments[0] if _decorated(arguments, keywords) else object.__new__(cls)

    def __getitem__(cls, _):
        return cls

    def __iter__(cls):
        return iter(())


class _Anything(metaclass=_Class):
    def __init__(self, *_, **fields):
        self.__dict__.update(fields)

    def __getattr__(self, name):
        if not _is_plain(name):
            raise AttributeError(name)
        return _stub_class(name)

    def __call__(self, *arguments, **keywords):
        return arguments[0] if _decorated(arguments, keywords) else self

    def __getitem__(self, _):
        return self

    def __iter__(self):
        return iter(())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def __bool__(self):
        return False

    # Versions are compared: what is asked for is there.
    def __ge__(self, _):
        return True

    def __lt__(self, _):
        return False

    def __init_subclass__(cls, **_):
        pass


def _stub_class(name):
    return _Class(name, (_Anything,), {"_is_stub": True})


class _Module(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        if not _is_plain(name):
            raise AttributeError(name)
        found = _stub_class(name)
        setattr(self, name, found)
        return found


class _Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Behind all other finders: a module that none of them has."""

    def __init__(self, tree):
        self.tree = str(tree)
        self.names = set()

    def find_spec(self, name, path=None, target=None):
        is_of_stub = name.rpartition(".")[0] in self.names
        top = name.partition(".")[0]
        is_there = top in sys.stdlib_module_names or (Path(self.tree) / top).exists()
        if is_there or not (is_of_stub or self._is_for_the_tree()):
            return None
        self.names.add(name)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def _is_for_the_tree(self):
        """Whether a file of the tree imports: libraries try imports of their own that shall fail."""
        frame = sys._getframe(2)
        while frame and ("importlib" in frame.f_code.co_filename or frame.f_code.co_filename == __file__):
            frame = frame.f_back
        return bool(frame) and frame.f_code.co_filename.startswith(self.tree)

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass


class _Halves(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Before all other finders: packages of the tree without what their `__init__.py` does, and modules left out."""

    def __init__(self, tree, hollow, left_out):
        self.tree, self.hollow, self.left_out = tree, hollow, left_out

    def find_spec(self, name, path=None, target=None):
        folder = self.tree.joinpath(*name.split("."))
        is_hollow = name in self.hollow and folder.is_dir()
        if not is_hollow and name not in self.left_out:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, is_package=True)
        if is_hollow:
            spec.submodule_search_locations = [str(folder)]
        return spec

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        module.__path__ = module.__spec__.submodule_search_locations


def install(tree, hollow=(), left_out=()):
    """Returns the names of what is stubbed, which grow as modules are imported."""
    tree = Path(tree)
    sys.path.insert(0, str(tree))
    sys.meta_path.insert(0, _Halves(tree, hollow, left_out))
    stubs = _Stubs(tree)
    sys.meta_path.append(stubs)
    return stubs.names
