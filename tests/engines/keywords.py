"""Holds the keywords that an exported package calls a program with against those that the judge calls it with.

    python keywords.py

Both are read off the sources. Prints a line for each function.
"""

import ast
import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIGNATURES = {
    "w": set(),
    "w, *, old_phy2log=None": {"old_phy2log"},
    "w, old_phy2log=None, history=None, other=1": {"old_phy2log", "history"},
    "w, history, /": set(),
    "w, old_phy2log, /, history": {"history"},
    "w, **keywords": {"old_phy2log", "history"},
    "*arguments": set(),
}


def function_of(path, name):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    space = {"inspect": inspect}
    exec(compile(ast.Module(body, []), str(path), "exec"), space)
    return space[name]


def main():
    judge = function_of(ROOT / "evaluator/src/nursery.py", "keywords")
    package = function_of(ROOT / "src/view/export/engines/common/guard.py", "_keywords")
    failed = False
    for signature, wanted in SIGNATURES.items():
        program = eval(f"lambda {signature}: None")
        found = set(judge(program)), set(package(program))
        failed |= found != (wanted, wanted)
        print(f"{signature}: judge {sorted(found[0])}, package {sorted(found[1])}")
    # No function, and one whose parameters are unknown.
    failed |= bool(package(None)) or bool(package(dict))
    sys.exit(failed)


if __name__ == "__main__":
    main()
