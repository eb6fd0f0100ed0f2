"""Policies put together by hand of the blocks of `candidates/blocks/policy`, as `compose` puts them together by chance.

A block is named with its values: `move_heaviest steps=16 price=0.001`; what is not named has the first value of the block's
header.
"""

import re
from pathlib import Path

BLOCKS = Path(__file__).parents[2] / "candidates/blocks/policy"
NOT_VALUES = ("block", "kind", "needs", "says", "weight", "import")
ENTRY = '''
def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None, history=None):
    if num_groups % num_nodes != 0:
        num_groups = num_nodes = 1
    loads = {forecast}
    old = _in_force(old_phy2log, loads, num_replicas, num_groups, num_nodes)

    def fresh(some):
        return {fresh}

    if old is None:
        plan = fresh(loads)
    else:
        plan = _planned(loads, old, num_gpus, num_nodes)
{renew}    return _maps(plan, weight.shape[1], weight.device)
'''


def headers():
    """The header of each block, and its text."""
    read = {}
    for path in sorted(BLOCKS.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = re.findall(r"^# (\w+): (.*)$", text[:text.index("\ndef ")], re.M)
        read[path.stem] = dict(lines), text
    return read


def values(header):
    """The parameters of a block, each with its values."""
    return {name: text.split() for name, text in header.items() if name not in NOT_VALUES}


def _call(named, arguments, blocks):
    name, *given = named.split()
    chosen = {parameter: each[0] for parameter, each in values(blocks[name][0]).items()}
    chosen |= dict(pair.split("=") for pair in given)
    return f"_{name}({arguments}{''.join(f', {parameter}={value}' for parameter, value in chosen.items())})"


def program(moves, forecast="forecast_last", fresh="fresh_refined steps=64", renew=None):
    """The text of a program of these blocks."""
    blocks = headers()
    fresh_plan = _call(fresh, "some, num_replicas, num_groups, num_nodes, num_gpus", blocks)
    renewed = ""
    if renew:
        call = _call(renew, "plan, fresh, old, loads, num_gpus, num_nodes", blocks)
        renewed = f"        plan = {call}\n"
    needed = []

    def need(name):
        if name not in needed:
            for other in blocks[name][0].get("needs", "").split():
                need(other)
            needed.append(name)

    for named in ("in_force", forecast, fresh, *moves, *([renew] if renew else []), "maps"):
        need(named.split()[0])
    calls = "".join(f"    {_call(move, 'plan, old, loads, gpus, nodes', blocks)}\n" for move in moves)
    planned = blocks["planned"][1].replace("    ...\n", calls)
    entry = ENTRY.format(forecast=_call(forecast, "weight, history", blocks), fresh=fresh_plan, renew=renewed)
    texts = [blocks[name][1] for name in needed]
    return "\n\n".join(["import numpy as np\nimport torch\nfrom numba import njit\n", *texts, planned, entry])
