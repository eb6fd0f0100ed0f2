"""Checks policies that were composed of the blocks of a catalogue: python check_policies.py PROGRAM...

Prints `ok NAME what` for each check that holds, and what is wrong with the others.
"""

import sys
from pathlib import Path

import numpy as np
import torch

SHAPES = ((3, 8, 12, 4, 2, 4), (4, 16, 20, 1, 1, 4), (2, 32, 40, 8, 4, 8), (2, 6, 6, 1, 2, 3))


def main():
    is_right = True
    for path in map(Path, sys.argv[1:]):
        space = {}
        exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), space)
        for what, holds in checks(space["rebalance_experts"]):
            print(f"{'ok' if holds else 'WRONG'} {path.stem} {what}")
            is_right &= holds
    sys.exit(0 if is_right else 1)


def checks(plan):
    for number, (layers, experts, *shape) in enumerate(SHAPES):
        rng = np.random.default_rng(number)
        windows = [torch.from_numpy(rng.lognormal(0, 1, (layers, experts)) * 1e4).float().round() for _ in range(4)]
        windows[3][0] = 0
        fresh = plan(windows[0], *shape)
        yield f"fresh {number}", is_plan(fresh, experts, *shape)
        trivial = torch.arange(shape[0]).remainder(experts).expand(layers, -1).contiguous()
        first = plan(windows[0], *shape, old_phy2log=trivial)
        yield f"from what an engine starts with {number}", is_plan(first, experts, *shape)
        other = torch.zeros(layers, 2 * shape[0], dtype=torch.int64)
        yield f"from another shape {number}", same(plan(windows[0], *shape, old_phy2log=other), fresh)
        old, history = fresh[0], windows[:1]
        for at, window in enumerate(windows[1:]):
            kept, given = old.clone(), torch.stack(history)
            made = plan(window, *shape, old_phy2log=old, history=given)
            yield f"step {at} of {number}", is_plan(made, experts, *shape) and torch.equal(kept, old)
            parts = [
                plan(window[one].clone(), *shape, old_phy2log=old[one].clone(), history=given[:, one].clone())[0]
                for one in ([1], [0], list(range(2, layers)))
                if one
            ]
            yield f"layers alone in step {at} of {number}", torch.equal(torch.cat([parts[1], parts[0], *parts[2:]]), made[0])
            yield f"again in step {at} of {number}", same(plan(window, *shape, old_phy2log=old, history=given), made)
            old, history = made[0], [*history, window]
    even = torch.full((2, 8), 10.0)
    made = plan(even, 8, 1, 1, 4)
    stays = plan(even, 8, 1, 1, 4, old_phy2log=made[0], history=even[None])
    yield "what is balanced stays", torch.equal(stays[0], made[0])


def same(one, other):
    return torch.equal(one[0], other[0])


def is_plan(made, experts, replicas, groups, nodes, gpus):
    phy2log, log2phy, logcnt = made
    if groups % nodes:
        groups = nodes = 1
    layers = len(phy2log)
    counts = torch.zeros(layers, experts, dtype=torch.int64).scatter_add_(1, phy2log, torch.ones_like(phy2log))
    lists = all(
        sorted(slot for slot in log2phy[layer, expert].tolist() if slot >= 0)
        == (phy2log[layer] == expert).nonzero().flatten().tolist()
        for layer in range(layers)
        for expert in range(experts)
    )
    of_node = phy2log.view(layers, nodes, -1) // (experts // groups)
    held = torch.zeros(layers, nodes, groups, dtype=torch.int64).scatter_(2, of_node, 1)
    together = groups == 1 or int(held.sum(1).max()) == 1
    return phy2log.shape == (layers, replicas) and torch.equal(counts, logcnt) and int(counts.min()) > 0 and lists and together


if __name__ == "__main__":
    main()
