"""Checks the building blocks of policies one by one against what candidates/blocks/README.md says of their kind.

    python check_policy_blocks.py FOLDER

Prints one line per block, parameters and input. Exit status: 0 if all hold, 1 if one does not.
"""

import itertools
import re
import sys
import traceback
from pathlib import Path

import numpy as np
import torch

NOT_VALUES = ("block", "kind", "needs", "says", "weight", "import")


def read_blocks(folder):
    """All functions in one namespace, and the header of each. In the frame no block changes the plan."""
    from numba import njit

    namespace, headers = {"np": np, "torch": torch, "njit": njit}, {}
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        headers[path.stem] = dict(re.findall(r"^# (\w+): (.*)$", text[:text.index("\ndef ")], re.M))
        exec(compile(text.replace("    ...\n", ""), str(path), "exec"), namespace)
    return namespace, headers


def values(header):
    """The lowest values of all parameters together, and the highest."""
    ranges = {key: [float(v) if "." in v else int(v) for v in text.split()]
              for key, text in header.items() if key not in NOT_VALUES}
    yield {key: some[0] for key, some in ranges.items()}
    if ranges:
        yield {key: some[-1] for key, some in ranges.items()}


def deployments():
    """(name, loads [L, E], replicas, groups, nodes, gpus)."""
    rng = np.random.default_rng(5)
    made = lambda layers, experts: np.round(rng.lognormal(0, 1, (layers, experts)) * 1e4)
    yield "8 on 4 GPUs", made(3, 8), 12, 4, 2, 4
    yield "global", made(4, 16), 20, 1, 1, 4
    yield "one GPU a node", made(2, 12), 16, 4, 4, 4
    yield "no spare replica", made(3, 16), 16, 4, 2, 4
    yield "one slot a GPU", made(2, 6), 6, 1, 1, 6
    yield "many", made(3, 64), 80, 8, 4, 16
    zero = made(3, 16)
    zero[1] = 0
    yield "a layer without loads", zero, 24, 4, 2, 4
    yield "equal loads", np.full((2, 16), 5.0), 24, 4, 2, 4
    giant = np.ones((2, 16))
    giant[:, 3] = 1e6
    yield "one giant", giant, 24, 4, 2, 4


def first_plan(experts, replicas, groups, nodes, layers):
    """A plan that is in force: the experts of each node in order, the first ones twice."""
    own = np.arange(experts).reshape(nodes, -1)
    return np.tile(own[:, np.arange(replicas // nodes) % own.shape[1]].reshape(-1), (layers, 1))


def check_plan(plan, experts, replicas, groups, nodes):
    """Whether it is a plan that keeps groups together."""
    assert plan.dtype == np.int64 and plan.shape[1] == replicas, plan
    for row in plan:
        assert sorted(set(row.tolist())) == list(range(experts)), "an expert is missing"
        held = [set((part // (experts // groups)).tolist()) for part in row.reshape(nodes, -1)]
        assert sum(map(len, held)) == groups, "a group is on two nodes"


def heaviest(plan, loads, gpus):
    counts = np.zeros(loads.shape)
    np.add.at(counts, (np.arange(len(plan))[:, None], plan), 1)
    return np.take_along_axis(loads / counts, plan, 1).reshape(len(plan), gpus, -1).sum(2).max(1)


def received(plan, old, gpus):
    """How many replicas the GPUs of each layer receive."""
    def of_layer(new, there):
        count = 0
        for ours, theirs in zip(new.reshape(gpus, -1).tolist(), there.reshape(gpus, -1).tolist()):
            for expert in ours:
                if expert in theirs:
                    theirs.remove(expert)
                else:
                    count += 1
        return count

    return np.array([of_layer(*rows) for rows in zip(plan, old)])


def alone(call, layers, *arrays):
    """What a function makes of each layer by itself, put together."""
    return np.concatenate([call(*(array[at:at + 1].copy() for array in arrays)) for at in range(layers)])


def check_forecast(function, chosen):
    rng = np.random.default_rng(2)
    history, weight = torch.from_numpy(rng.lognormal(0, 1, (3, 4, 16))).float(), torch.from_numpy(rng.lognormal(0, 1, (4, 16))).float()
    weight[2] = 0
    before = weight.clone(), history.clone()
    for past in (history, None):
        made = function(weight, past, **chosen)
        assert made.shape == (4, 16) and made.dtype == np.float64 and (made >= 0).all() and np.isfinite(made).all()
        of_one = [function(weight[at:at + 1], None if past is None else past[:, at:at + 1], **chosen) for at in range(4)]
        assert (np.concatenate(of_one) == made).all(), "a layer depends on the others"
    now = function(weight, None, **chosen)[0]
    assert np.allclose(now / now.sum(), (weight[0] / weight[0].sum()).numpy(), rtol=1e-5), "without a history it is this window"
    same = function(weight, weight[None].repeat(3, 1, 1), **chosen)[0]
    assert np.allclose(same / same.sum(), now / now.sum(), rtol=1e-5), "windows that are equal forecast another one"
    assert torch.equal(weight, before[0]) and torch.equal(history, before[1]), "what was given is changed"


def check_fresh(function, chosen, deployment, _):
    loads, replicas, groups, nodes, gpus = deployment
    before = loads.copy()
    plan = function(loads, replicas, groups, nodes, gpus, **chosen)
    check_plan(plan, loads.shape[1], replicas, groups, nodes)
    assert len(plan) == len(loads) and (loads == before).all()
    each = alone(lambda load: function(load, replicas, groups, nodes, gpus, **chosen), len(loads), loads)
    assert (each == plan).all(), "a layer depends on the others"
    if loads.shape[1] < 64:
        return  # Five replicas of one giant on two GPUs weigh more than two.
    dealt = first_plan(loads.shape[1], replicas, groups, nodes, len(loads))
    assert heaviest(plan, loads, gpus).sum() <= heaviest(dealt, loads, gpus).sum() * (1 + 1e-9), "it is worse than no plan"


def check_move(function, chosen, deployment, name):
    loads, replicas, groups, nodes, gpus = deployment
    old = first_plan(loads.shape[1], replicas, groups, nodes, len(loads))
    before = old.copy(), loads.copy()
    worse = 1 + chosen.get("worse", 0.0)
    start, plan = old.copy(), old.copy()
    if name == "move_back":  # Something must have been changed.
        start[0, [0, 1]] = start[0, [1, 0]]
        plan = start.copy()
    for _ in range(3):
        top = heaviest(plan, loads, gpus)
        assert function(plan, old, loads, gpus, nodes, **chosen) is None
        check_plan(plan, loads.shape[1], replicas, groups, nodes)
        of_node = [np.sort(np.unique(part)).tolist() for part in plan[0].reshape(nodes, -1)]
        assert of_node == [np.sort(np.unique(part)).tolist() for part in old[0].reshape(nodes, -1)], "an expert left its node"
        assert (heaviest(plan, loads, gpus) <= top * worse * (1 + 1e-9)).all(), "a layer got worse"
    assert (old == before[0]).all() and (loads == before[1]).all(), "what was given is changed"

    def of_one(load, there, given):
        function(given, there, load, gpus, nodes, **chosen)
        return given

    together = of_one(loads, old, start.copy())
    assert (alone(of_one, len(loads), loads, old, start) == together).all(), "a layer depends on the others"


def check_renew(function, chosen, deployment, _, blocks):
    loads, replicas, groups, nodes, gpus = deployment
    old = first_plan(loads.shape[1], replicas, groups, nodes, len(loads))
    afresh = lambda some: blocks["_fresh_greedy"](some, replicas, groups, nodes, gpus)
    fresh = afresh(loads)
    made = function(old.copy(), afresh, old, loads, gpus, nodes, **chosen)
    check_plan(made, loads.shape[1], replicas, groups, nodes)
    tops = [heaviest(plan, loads, gpus) for plan in (made, old, fresh)]
    kept, renewed = (np.isclose(tops[0], top, rtol=1e-9) for top in tops[1:])
    assert (kept | renewed).all() and (tops[0] <= tops[1] * (1 + 1e-9)).all(), "a layer is neither kept nor better"
    assert (received(made, old, gpus) <= received(fresh, old, gpus)).all(), "new names move more"
    of_one = lambda plan, before, load: function(plan, afresh, before, load, gpus, nodes, **chosen)
    one = alone(of_one, len(loads), old, old, loads)
    assert (one == made).all(), "a layer depends on the others"
    # The plan in force, its nodes, GPUs and slots in another order: nothing has to move.
    rng = np.random.default_rng(1)
    mixed = np.array([[rng.permutation(gpu) for gpu in rng.permutation(node)] for node in rng.permutation(
        old[0].reshape(nodes, gpus // nodes, -1))]).reshape(1, -1)
    bad = old[:1].copy()
    first = bad[0].reshape(gpus, -1)
    first[[0, -1], 0] = first[[-1, 0], 0]
    load = loads[:1]
    if heaviest(mixed, load, gpus) < 0.5 * heaviest(bad, load, gpus):
        back = function(bad, lambda _: mixed, old[:1], load, gpus, nodes, **chosen)
        assert (back == old[:1]).all(), "what is in force under other names is moved"


def check_improvable(blocks):
    """Layers whose heaviest GPU is at least as far above the mean as a fresh plan must lighten it; at least one layer."""
    loads = np.array([[3.0, 1], [1, 1], [0, 0], [6, 2]])
    heaviest = np.array([3.0, 1, 0, 5])
    for gain, some, can_pay in ((0.2, [0, 2, 3], [True] * 3), (0.3, [0, 2], [True] * 2), (0.4, [2], [True])):
        tried, can = blocks["_improvable"](heaviest, loads, 2, gain)
        assert (tried.tolist(), can.tolist()) == (some, can_pay), (gain, tried, can)
    tried, can = blocks["_improvable"](heaviest[:2], loads[:2], 2, 0.4)
    assert (tried.tolist(), can.tolist()) == ([0], [False])


def check_pairs(blocks):
    """The pairs of a GPU's replicas, the lightest first, and nothing of other GPUs."""
    rng = np.random.default_rng(5)
    for size in (1, 2, 3, 9):
        slots, piece, pairs = rng.integers(0, 20, 4 * size), rng.lognormal(0, 1, 20), size * (size - 1) // 2
        sums, slots_of = np.full((4, pairs), -1.0), np.full((4, pairs, 2), -1)
        blocks["_sorted_pairs"](slots, piece, 2, size, sums, slots_of)
        assert (np.diff(sums[2]) >= 0).all() and (piece[slots[slots_of[2]]].sum(1) == sums[2]).all()
        own = itertools.combinations(range(2 * size, 3 * size), 2)
        assert sorted(map(tuple, slots_of[2].tolist())) == list(own)
        assert (sums[[0, 1, 3]] == -1).all() and (slots_of[[0, 1, 3]] == -1).all()


def check_names(blocks):
    """Names of equal parts, by overlap: both ways against all permutations."""
    rng = np.random.default_rng(4)
    for parts in (1, 2, 3, 5, 6):
        for _ in range(20):
            shared = rng.integers(0, 7, (parts, parts))
            sums = [sum(shared[at, to] for at, to in enumerate(order)) for order in itertools.permutations(range(parts))]
            for name, least in (("_assigned", max(sums)), ("_matched", max(sums) / 2)):
                names, again = blocks[name](np.array([shared, shared]))
                assert (names == again).all(), f"{name} names a row by the one before"
                assert sorted(names.tolist()) == list(range(parts)), f"{name} names {names}"
                assert least <= shared[np.arange(parts), names].sum() <= max(sums), f"{name} shares less"


def check_overlap(blocks):
    rng = np.random.default_rng(4)
    for parts, size, experts in ((1, 1, 1), (3, 4, 5), (8, 3, 20), (4, 6, 2)):
        ours, theirs = rng.integers(0, experts, (2, 5, parts * size))
        shared = blocks["_overlap"](ours, theirs, parts, experts)
        held = [np.stack([(rows.reshape(5, parts, size) == expert).sum(2) for expert in range(experts)], 2)
                for rows in (ours, theirs)]
        assert (shared == np.minimum(held[0][:, :, None], held[1][:, None]).sum(3)).all(), f"{parts} parts of {size}"


def check_renamed(blocks):
    """A plan under other names of nodes, GPUs and slots is the plan itself; any other one moves no more by exact names."""
    rng = np.random.default_rng(6)
    old = first_plan(64, 80, 8, 4, 5)
    parts = old.reshape(5, 4, 4, -1)
    mixed = np.array([[[rng.permutation(gpu) for gpu in rng.permutation(node)] for node in rng.permutation(layer)] for layer in parts])
    fresh = blocks["_fresh_greedy"](np.round(rng.lognormal(0, 1, (5, 64)) * 1e4), 80, 1, 1, 16)
    moves = []
    for name in ("_matched", "_assigned"):
        assert (blocks["_renamed"](mixed.reshape(5, -1), old, 64, 16, 4, blocks[name]) == old).all(), "equal plans move"
        plan = blocks["_renamed"](fresh, old, 64, 16, 1, blocks[name])
        assert blocks["_renamed"](fresh[:0], old[:0], 64, 16, 4, blocks[name]).shape == (0, 80)
        assert (np.sort(plan, 1) == np.sort(fresh, 1)).all()
        assert (received(plan, old, 16) == (plan != old).sum(1)).all(), "what stays changes its slot"
        moves.append(received(plan, old, 16))
    assert (moves[1] <= moves[0]).all() and moves[1].sum() < received(fresh, old, 16).sum()


def check_helpers(blocks):
    loads, plan = next(deployments())[1], first_plan(8, 12, 4, 2, 3)
    assert np.allclose(blocks["_heaviest"](plan, loads, 4), heaviest(plan, loads, 4))
    lists = blocks["_listed"](plan, np.full((3, 8, 2), -1))
    for layer, expert in itertools.product(range(3), range(8)):
        assert [slot for slot in lists[layer, expert] if slot >= 0] == (plan[layer] == expert).nonzero()[0].tolist()
    for replicas in (8, 10, 12, 31):
        node_of = np.zeros((3, 1), np.int64)
        counts = [blocks[name](loads, node_of, replicas, 1) for name in ("_replicated", "_filled")]
        assert all((count.sum(1) == replicas).all() and (count >= 1).all() for count in counts)
        assert np.allclose(*((loads / count).max(1) for count in counts)), "the level is not the lowest"


def check_frame(blocks):
    """What is no plan to start from, and the maps of one."""
    loads, old = np.ones((3, 8)), torch.from_numpy(first_plan(8, 12, 4, 2, 3))
    start = lambda plan: blocks["_in_force"](plan, loads, 12, 4, 2)
    assert (start(old) == old.numpy()).all() and start(old).dtype == np.int64
    missing, split, beyond = old.clone(), old.clone(), old.clone()
    missing[missing == 5] = 4
    split[0, 0] = 7
    beyond[0, 0] = 8
    for none in (None, old[:, :8], old[:2], missing, split, beyond, old - 1):
        assert start(none) is None, none
    assert blocks["_in_force"](split, loads, 12, 1, 1) is not None
    kept = blocks["_planned"](loads, old.numpy(), 4, 2)
    assert (kept == old.numpy()).all() and kept is not old.numpy()
    phy2log, log2phy, logcnt = blocks["_maps"](old.numpy(), 8, torch.device("cpu"))
    assert torch.equal(phy2log, old) and logcnt.sum(1).tolist() == [12] * 3 and log2phy.shape == (3, 8, int(logcnt.max()))


def main():
    blocks, headers = read_blocks(Path(sys.argv[1]))
    checks = {"fresh": check_fresh, "move": check_move, "renew": lambda *each: check_renew(*each, blocks)}
    failed = False
    for name, header in headers.items():
        for chosen in values(header):
            if header["kind"] == "forecast":
                failed |= not holds(f"{name} {chosen}", lambda: check_forecast(blocks[f"_{name}"], chosen))
            for about, *deployment in deployments() if header["kind"] in checks else []:
                call = lambda: checks[header["kind"]](blocks[f"_{name}"], chosen, deployment, name)
                failed |= not holds(f"{name} {chosen} on {about}", call)
    for check in (check_names, check_overlap, check_improvable, check_pairs, check_renamed, check_helpers, check_frame):
        failed |= not holds(check.__name__, lambda: check(blocks))
    sys.exit(failed)


def holds(about, check):
    """Runs one check, prints its line."""
    try:
        check()
    except Exception:
        print("FAILED", about, traceback.format_exc(), sep="\n")
        return False
    print("ok", about)
    return True


if __name__ == "__main__":
    main()
