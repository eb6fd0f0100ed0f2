"""Checks program files against the contract of candidates/eplb.py, with oracles in plain Python.

    python check_programs.py PROGRAM...

Prints one line per program, device and check. Exit status: 0 if all hold, 1 if one does not. CUDA is checked too where
there is one. A program must pass whatever its `balanced_packing` has evolved into, so nothing here says how good a
packing is, only that it is one.
"""

import importlib.util
import sys
import traceback
from fractions import Fraction
from pathlib import Path

import torch


def load_program(path):
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def random_loads(rows, experts, seed=0):
    """Integers as skewed as real routing counts; exact in float32, and practically never equal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, experts, generator=generator).mul(0.8).exp().mul(2**18).round()


# balanced_packing(weight float32 [X, n], contiguous, num_packs) -> pack_index, rank_in_pack: int64 [X, n]


def packing_inputs():
    """(name, weight, num_packs) of every packing that is tried."""
    # Two rows of the cases that are scored, and of their neighbours with few items a pack.
    for items, packs in [(8, 4), (72, 8), (288, 32), (320, 64), (256, 32), (256, 64), (8, 8), (12, 6), (6, 1), (1, 1)]:
        yield f"{items}->{packs}", random_loads(2, items), packs
    yield "one row", random_loads(1, 72), 8
    yield "many rows", random_loads(40, 24), 8
    yield "equal weights", torch.full((2, 72), 7.0), 8
    yield "zeros", torch.zeros(2, 72), 8
    yield "one row of zeros", torch.cat([random_loads(2, 72), torch.zeros(1, 72)]), 8
    giant = torch.ones(2, 72)
    giant[:, 40] = 2.0**26
    yield "one giant", giant, 8
    yield "fractions", random_loads(2, 72) / 3, 8


def check_packing(program, device, weight, num_packs):
    weight = weight.to(device)
    before = weight.clone()
    pack_index, rank_in_pack = program.balanced_packing(weight, num_packs)
    assert torch.equal(weight, before), "the weights were changed"
    for name, output in (("pack_index", pack_index), ("rank_in_pack", rank_in_pack)):
        assert output.dtype == torch.int64, f"{name} is {output.dtype}"
        assert output.shape == weight.shape, f"{name} is {list(output.shape)}"
    items_per_pack = weight.shape[1] // num_packs
    every_place = [(pack, rank) for pack in range(num_packs) for rank in range(items_per_pack)]
    for row, (packs, ranks) in enumerate(zip(pack_index.tolist(), rank_in_pack.tolist())):
        assert sorted(zip(packs, ranks)) == every_place, f"row {row} does not fill every place once"


# replicate_experts(weight [X, n], num_phy) -> phy2log, rank: [X, num_phy], logcnt: [X, n]


def greedy_counts(loads, num_phy):
    """How many replicas each expert gets, in exact arithmetic; ties go to the lowest index."""
    counts = [1] * len(loads)
    for _ in range(num_phy - len(loads)):
        shares = [Fraction(load) / count for load, count in zip(loads, counts)]
        counts[shares.index(max(shares))] += 1
    return counts


def check_replication(program, device):
    for name, weight, num_phy in [
        ("random", random_loads(3, 64), 72),
        ("more replicas than twice the experts", random_loads(2, 8), 40),
        ("none redundant", random_loads(2, 16), 16),
        ("ties", torch.tensor([[4.0, 8.0, 4.0, 8.0], [1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 4.0, 0.0]]), 9),
        ("zeros", torch.zeros(2, 8), 12),
        ("beyond float32", torch.tensor([[2**40 + 1, 2**40, 2**40 + 3, 2**40 + 2]]), 6),
    ]:
        phy2log, rank, logcnt = program.replicate_experts(weight.to(device), num_phy)
        for output in (phy2log, rank, logcnt):
            assert output.dtype == torch.int64 and output.device.type == device, f"{name}: {output.dtype}"
        for loads, experts, ranks, counts in zip(weight.tolist(), phy2log.tolist(), rank.tolist(), logcnt.tolist()):
            assert counts == greedy_counts(loads, num_phy), f"{name}: counts are {counts}"
            every_replica = [(expert, rank) for expert, count in enumerate(counts) for rank in range(count)]
            assert sorted(zip(experts, ranks)) == every_replica, f"{name}: replicas and ranks do not agree"
    refused(program.replicate_experts, (random_loads(2, 8), 7), "7 replicas cannot hold 8 experts")
    refused(program.replicate_experts, (random_loads(1, 8)[0], 8), "[8]")


# rebalance_experts(weight [L, E], num_replicas, num_groups, num_nodes, num_gpus)
#     -> phy2log [L, R], log2phy [L, E, max], logcnt [L, E]


def rebalance_inputs():
    """(name, weight, (num_replicas, num_groups, num_nodes, num_gpus)) of every rebalance that is tried."""
    yield "DeepSeek-V3, 288 on 32", random_loads(2, 256), (288, 8, 4, 32)
    yield "global: 7 groups on 4 nodes", random_loads(2, 256), (288, 7, 4, 32)
    yield "global: 1 group on 2 nodes", random_loads(2, 64), (80, 1, 2, 16)
    yield "global: gpus do not divide by nodes", random_loads(2, 64), (72, 8, 3, 8)
    yield "one node", random_loads(2, 64), (72, 8, 1, 8)
    yield "one gpu", random_loads(2, 8), (12, 2, 1, 1)
    yield "one gpu a node", random_loads(2, 16), (24, 4, 4, 4)
    yield "one replica a gpu", random_loads(2, 16), (16, 4, 2, 16)
    yield "a group a node", random_loads(2, 64), (80, 4, 4, 8)
    yield "none redundant", random_loads(2, 256), (256, 8, 4, 32)
    yield "more than twice as many replicas", random_loads(2, 16), (48, 4, 2, 8)
    yield "one layer", random_loads(1, 64), (72, 8, 4, 8)
    yield "a layer of zeros", torch.cat([torch.zeros(1, 64), random_loads(2, 64)]), (72, 8, 4, 8)
    yield "nothing but zeros", torch.zeros(2, 64), (72, 8, 4, 8)
    yield "one giant", torch.ones(2, 64).index_fill_(1, torch.tensor([33]), 2.0**26), (96, 8, 4, 8)
    yield "integers", random_loads(2, 64).long(), (72, 8, 4, 8)
    yield "float64, not contiguous", random_loads(64, 2).double().t(), (72, 8, 4, 8)


def check_rebalance(program, device, weight, arguments):
    num_replicas, num_groups, num_nodes, num_gpus = arguments
    if num_groups % num_nodes != 0:
        num_groups = num_nodes = 1
    weight = weight.to(device)
    before = weight.clone()
    plan, calls = watched(program, weight, arguments)
    assert torch.equal(weight, before), "the loads were changed"
    phy2log, log2phy, logcnt = plan
    for name, output in (("phy2log", phy2log), ("log2phy", log2phy), ("logcnt", logcnt)):
        assert output.dtype == torch.int64, f"{name} is {output.dtype}"
        assert output.device.type == device, f"{name} is on {output.device}"
    num_layers, num_experts = weight.shape
    assert phy2log.shape == (num_layers, num_replicas), f"phy2log is {list(phy2log.shape)}"
    assert logcnt.shape == (num_layers, num_experts), f"logcnt is {list(logcnt.shape)}"
    assert log2phy.shape == (num_layers, num_experts, int(logcnt.max())), f"log2phy is {list(log2phy.shape)}"
    layers = list(zip(weight.tolist(), phy2log.tolist(), log2phy.tolist(), logcnt.tolist()))
    for loads, experts, replicas, counts in layers:
        check_maps(experts, replicas, counts)
        check_nodes(loads, experts, counts, num_groups, num_nodes)
    check_calls(calls, layers, num_groups, num_nodes, num_gpus)


def watched(program, weight, arguments):
    """The plan, and (weight, num_packs, pack_index) of each call of the program's own `balanced_packing`."""
    calls = []
    packing = program.balanced_packing

    def watch(weight, num_packs):
        assert weight.dtype == torch.float32 and weight.is_contiguous(), "balanced_packing was not given what it needs"
        pack_index, rank_in_pack = packing(weight, num_packs)
        calls.append((weight.clone(), num_packs, pack_index.clone()))
        return pack_index, rank_in_pack

    program.balanced_packing = watch
    try:
        return program.rebalance_experts(weight, *arguments), calls
    finally:
        program.balanced_packing = packing


def check_maps(experts, replicas, counts):
    """One layer: every expert is there, and the three outputs say the same."""
    homes = [[] for _ in counts]
    for replica, expert in enumerate(experts):
        assert 0 <= expert < len(counts), f"replica {replica} is of expert {expert}"
        homes[expert].append(replica)
    for expert, (home, listed, count) in enumerate(zip(homes, replicas, counts)):
        assert home, f"expert {expert} is nowhere"
        assert len(home) == count, f"expert {expert} has {len(home)} replicas and a count of {count}"
        assert sorted(listed[:count]) == home, f"expert {expert} lives at {home}, listed as {listed}"
        assert all(entry == -1 for entry in listed[count:]), f"expert {expert} is padded to {listed}"


def check_nodes(loads, experts, counts, num_groups, num_nodes):
    """One layer: groups are whole and spread evenly, and each node's experts are replicated greedily."""
    replicas_of_node = len(experts) // num_nodes
    group_size = len(loads) // num_groups
    seen = set()
    for node in range(num_nodes):
        here = set(experts[node * replicas_of_node:(node + 1) * replicas_of_node])
        groups = {expert // group_size for expert in here}
        assert len(groups) == num_groups // num_nodes, f"node {node} holds groups {sorted(groups)}"
        assert len(here) == len(groups) * group_size, f"node {node} holds a part of a group"
        assert not seen & groups, f"groups {sorted(seen & groups)} are on two nodes"
        seen |= groups
        # Sorted, because which of two equal experts comes first depends on the order of the groups on the node.
        ours = sorted((loads[expert], counts[expert]) for expert in here)
        greedy = greedy_counts([load for load, _ in ours], replicas_of_node)
        expected = sorted(zip((load for load, _ in ours), greedy))
        assert ours == expected, f"node {node} does not replicate greedily"


def check_calls(calls, layers, num_groups, num_nodes, num_gpus):
    """`balanced_packing` was asked for groups on nodes, then for replicas on GPUs, and the plan is what it answered."""
    num_replicas = len(layers[0][1])
    shapes = [(tuple(weight.shape), num_packs) for weight, num_packs, _ in calls]
    expected = [((len(layers), num_groups), num_nodes),
                ((len(layers) * num_nodes, num_replicas // num_nodes), num_gpus // num_nodes)]
    assert shapes == expected, f"balanced_packing was called for {shapes}"
    weight, num_packs, pack_index = calls[1]
    packed = torch.zeros(weight.shape[0], num_packs, dtype=torch.float64)
    packed.scatter_add_(1, pack_index.cpu(), weight.double().cpu())
    replicas_of_gpu = num_replicas // num_gpus
    for (loads, experts, _, counts), of_layer in zip(layers, packed.reshape(len(layers), num_gpus).tolist()):
        for gpu, load in enumerate(of_layer):
            here = experts[gpu * replicas_of_gpu:(gpu + 1) * replicas_of_gpu]
            planned = sum(loads[expert] / counts[expert] for expert in here)
            assert abs(planned - load) <= 1e-6 * load, f"gpu {gpu} carries {planned}, it was packed {load}"


def check_refusals(program, _device):
    loads = random_loads(2, 64)
    negative, undefined, endless = loads.clone(), loads.clone(), loads.clone()
    negative[1, 5], undefined[0, 7], endless[1, 63] = -3, float("nan"), float("inf")
    for arguments, message in [
        ((loads, 73, 8, 4, 8), "replicas (73) is not a multiple of gpus (8)"),
        ((loads, 56, 8, 4, 8), "56 replicas cannot hold 64 experts"),
        ((loads, 72, 12, 4, 8), "experts (64) is not a multiple of groups (12)"),
        ((loads, 72, 8, 4, 6), "gpus (6) is not a multiple of nodes (4)"),
        ((loads, 73, 7, 4, 8), "replicas (73) is not a multiple of gpus (8)"),
        ((loads, 0, 8, 4, 8), "replicas is 0"),
        ((loads, 72, 0, 4, 8), "groups is 0"),
        ((loads, 72, 8, 0, 8), "nodes is 0"),
        ((loads, 72, 8, 4, 0), "gpus is 0"),
        ((loads, 72, 8, 4, -8), "gpus is -8"),
        ((loads[:0], 72, 8, 4, 8), "layers is 0"),
        ((loads[:, :0], 72, 8, 4, 8), "experts is 0"),
        ((loads[0], 72, 8, 4, 8), "[64]"),
        ((negative, 72, 8, 4, 8), "expert 5 in layer 1 is -3.0"),
        ((undefined, 72, 8, 4, 8), "expert 7 in layer 0 is nan"),
        ((endless, 72, 8, 4, 8), "expert 63 in layer 1 is inf"),
    ]:
        refused(program.rebalance_experts, arguments, message)


def refused(function, arguments, message):
    try:
        function(*arguments)
    except ValueError as error:
        assert message in str(error), f"the message is {error!s}, not {message}"
    else:
        raise AssertionError(f"accepted what it cannot pack: {message}")


def checks():
    """(name, function of program and device) of everything that is checked."""
    for name, weight, num_packs in packing_inputs():
        yield (f"balanced_packing: {name}",
               lambda program, device, w=weight, n=num_packs: check_packing(program, device, w, n))
    yield "replicate_experts equals the exact greedy rule", check_replication
    for name, weight, arguments in rebalance_inputs():
        yield (f"rebalance_experts: {name}",
               lambda program, device, w=weight, a=arguments: check_rebalance(program, device, w, a))
    yield "rebalance_experts refuses what it cannot pack", check_refusals


def holds(name, check):
    """Runs one check, prints its line."""
    torch.manual_seed(0)
    try:
        check()
    except Exception as error:  # whatever a program raises is a failed check
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(f"FAILED {name}: {type(error).__name__}: {error} (line {where.lineno} of {Path(where.filename).name})")
        return False
    print(f"ok {name}")
    return True


def main(paths):
    if not paths:
        sys.exit("usage: check_programs.py PROGRAM...")
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    failed = 0
    for path in paths:
        program = load_program(path)
        for device in devices:
            for name, check in checks():
                label = f"{Path(path).name} on {device}: {name}"
                failed += not holds(label, lambda check=check: check(program, device))
    print(f"{failed} checks failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
