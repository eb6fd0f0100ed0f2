# What `packevolve plan` and `packevolve worth` run where there is no run and no other program is named. It needs Numba.
#
# It is the best program of a run with default settings and `--rng-seed 1` that was stopped after four and a half minutes
# on two cores: combined_score 0.9722 on held-out windows, made up after DeepSeek-V3's loads.
#
# Its lineage, from candidates/eplb.py:
#   1. vectorized_iterative_greedy: candidates/proposals/001_vectorized_iterative_greedy.txt
#   2. compose_numba_lockstep64_heaviest96x0.0003, of the blocks in candidates/blocks/numba: LPT with 64 rows in lockstep,
#      then up to 96 swaps of the heaviest pack, in rows that are more than 0.03 % above the lower bound
#
# The function balanced_packing below is DeepSeek's, as vLLM formats it:
#
#   SPDX-License-Identifier: MIT
#   SPDX-FileCopyrightText: Copyright (c) 2025 DeepSeek (https://github.com/deepseek-ai/EPLB)
#   SPDX-License-Identifier: Apache-2.0
#   SPDX-FileCopyrightText: Copyright contributors to the vLLM project (https://github.com/vllm-project/vllm)
#
# The texts of both licences are in LICENSE-THIRD-PARTY of the PackEvolve repository. Everything else in this file is
# PackEvolve's, MIT OR Apache-2.0.
"""The shipped program: which expert replica goes to which GPU in expert-parallel inference.

The lines between the EVOLVE-BLOCK markers are evolved. The functions below them are those of candidates/eplb.py.
"""

import torch


# EVOLVE-BLOCK-START
import numpy as np
from numba import njit


@njit
def _tagged(order, weights):
    """The weights of each row in the given order of items, which is nearly the right one: as tagged weights, sorted.

    A float32 leaves the low 29 bits of a float64 empty: the number of the item, counted from the last, goes there, so
    that one array carries both, and of equal weights the first is the heaviest. A tag is far below what a float32 can
    tell.
    """
    rows, count = weights.shape
    tagged = np.empty((rows, count))
    numbers = tagged.view(np.int64)
    least = np.float32(1e-30)  # A weight of zero would become a denormal, which is slow to compute with.
    for row in range(rows):
        for place in range(count):
            item = order[row, place]
            tagged[row, place] = max(weights[row, item], least)
            numbers[row, place] |= count - 1 - item
            value = tagged[row, place]
            while place > 0 and tagged[row, place - 1] < value:
                tagged[row, place] = tagged[row, place - 1]
                place -= 1
            tagged[row, place] = value
    return tagged


def _sorted(weight):
    """The items of each row as tagged weights, heaviest first, and of equal ones the first first: float64 [rows, items].

    Sorts 32 bits an item, which takes half the time of 64: the number of the item replaces the lowest bits of the
    weight. `_tagged` puts right those that this leaves too close to tell.
    """
    weights = weight.detach().cpu().float().contiguous().numpy()
    low = (1 << (weights.shape[1] - 1).bit_length()) - 1
    # The bits of a positive float32 sort like it does; inverted ones the other way round.
    keys = ~weights.view(np.int32)
    keys &= ~low
    keys |= np.arange(weights.shape[1], dtype=np.int32)
    keys.sort(1)
    keys &= low
    return _tagged(keys, weights)


@njit(error_model="numpy")
def _assign_lockstep(items, num_packs, width):
    """Give one item after the other to the least loaded pack with room, in `width` rows at once.

    A load is a whole number of units with the number of its pack in the lowest bits, so that a minimum finds both, and
    of equal loads the first. The minimum of four packs at a time in all rows at once becomes vector instructions.
    """
    rows, count = items.shape
    size = count // num_packs
    bits = 0
    while 1 << bits < num_packs:
        bits += 1
    fours = (num_packs + 3) // 4 * 4
    full = np.int32(2**31 - 1)
    packs, loads = np.empty((rows, num_packs, size)), np.empty((rows, num_packs))
    units, keys = np.empty((count, width), np.int32), np.empty((fours, width), np.int32)
    filled, least = np.empty((fours, width), np.int32), np.empty((1, width), np.int32)
    for pack in range(fours):
        for lane in range(width):
            keys[pack, lane] = full
    for first in range(0, rows, width):
        lanes = min(width, rows - first)
        for lane in range(lanes):
            most = 0.0  # No pack can be heavier.
            for item in range(size):
                most += items[first + lane, item]
            # A power of two, so that whole numbers are exact, as far as they fit.
            unit = 1.0
            while unit * most < 2.0**(29 - bits):
                unit *= 2.0
            while unit * most > 2.0**(30 - bits):
                unit *= 0.5
            for item in range(count):
                units[item, lane] = np.int32(np.float32(items[first + lane, item]) * unit) << bits
            for pack in range(num_packs):
                packs[first + lane, pack, 0] = items[first + lane, pack]
                keys[pack, lane] = units[pack, lane] | pack
                filled[pack, lane] = 1
        for item in range(num_packs, count):
            for lane in range(width):
                least[0, lane] = full
            for pack in range(0, fours, 4):
                for lane in range(width):
                    one = min(keys[pack, lane], keys[pack + 1, lane])
                    two = min(keys[pack + 2, lane], keys[pack + 3, lane])
                    least[0, lane] = min(least[0, lane], min(one, two))
            for lane in range(lanes):
                key = least[0, lane]
                pack = key & (1 << bits) - 1
                rank = filled[pack, lane]
                packs[first + lane, pack, rank] = items[first + lane, item]
                filled[pack, lane] = rank + 1
                keys[pack, lane] = key + units[item, lane] if rank + 1 < size else full
        for row in range(first, first + lanes):
            for pack in range(num_packs):
                load = 0.0
                for rank in range(size):
                    load += np.float32(packs[row, pack, rank])  # Without the tag.
                loads[row, pack] = load
    return packs, loads


@njit
def _most(loads, row):
    """The load of the heaviest pack of a row."""
    most = 0.0
    for pack in range(loads.shape[1]):
        most = max(most, loads[row, pack])
    return most


@njit
def _in_units(packs, row, unit, items, rest, sums):
    """A row in whole units, `unit` of them to a load of 1: a vector holds twice as many int32 as float64.

    Writes the `items` of the packs, [packs * size], the `rest` of each item's pack without it, and the packs' `sums`.
    """
    rows, num_packs, size = packs.shape
    for pack in range(num_packs):
        total = np.int32(0)
        for rank in range(size):
            item = np.int32(packs[row, pack, rank] * unit)
            items[pack * size + rank] = item
            total += item
        sums[pack] = total
        for place in range(pack * size, pack * size + size):
            rest[place] = total - items[place]


@njit
def _heaviest(sums):
    """The first of the heaviest packs, in two loops that become vector instructions."""
    most = np.int32(0)
    for pack in range(len(sums)):
        most = max(most, sums[pack])
    heavy = np.int32(len(sums) - 1)
    for pack in range(len(sums)):
        heavy = min(heavy, np.int32(pack) if sums[pack] == most else np.int32(2**30))
    return heavy


@njit(error_model="numpy")
def _swap(packs, loads, row, place, other, items, rest, sums):
    """Swap two items of a row, given by their places in `items`, there and in `packs` and `loads`."""
    size = packs.shape[2]
    pack, other_pack = place // size, other // size
    rank, other_rank = place - pack * size, other - other_pack * size
    one, two = packs[row, pack, rank], packs[row, other_pack, other_rank]
    packs[row, pack, rank], packs[row, other_pack, other_rank] = two, one
    loads[row, pack] -= one - two
    loads[row, other_pack] += one - two
    items[place], items[other] = items[other], items[place]
    moved = np.int32(items[other] - items[place])
    sums[pack] -= moved
    sums[other_pack] += moved
    for rank in range(size):
        place, other = pack * size + rank, other_pack * size + rank
        rest[place] = sums[pack] - items[place]
        rest[other] = sums[other_pack] - items[other]


@njit(error_model="numpy")
def _refine_heaviest(packs, loads, bound, steps, tolerance):
    """Swap an item of the heaviest pack for one of another pack, so that the heavier of the two becomes lightest.

    The first item with a swap that brings both packs within `tolerance` of the bound is good enough.
    """
    rows, num_packs, size = packs.shape
    count = num_packs * size
    items, rest, sums = np.zeros(count, np.int32), np.zeros(count, np.int32), np.zeros(num_packs, np.int32)
    for row in range(rows):
        most, limit = _most(loads, row), bound[row] * (1 + tolerance)
        if most <= limit:
            continue
        unit = 2.0**29 / most
        enough = np.int32(limit * unit)
        _in_units(packs, row, unit, items, rest, sums)
        for step in range(steps):
            heavy = _heaviest(sums)
            load = sums[heavy]
            if load <= enough:
                break
            lowest, place = load, 0
            for candidate in range(heavy * size, heavy * size + size):
                item, without = items[candidate], rest[candidate]
                least = load
                for other in range(count):
                    least = min(least, max(np.int32(without + items[other]), np.int32(rest[other] + item)))
                if least < lowest:
                    lowest, place = least, candidate
                    if least <= enough:
                        break
            if lowest == load:
                break
            item, without = items[place], rest[place]
            best = np.int32(count - 1)
            for other in range(count):
                high = max(np.int32(without + items[other]), np.int32(rest[other] + item))
                best = min(best, np.int32(other) if high <= lowest else np.int32(2**30))
            _swap(packs, loads, row, place, best, items, rest, sums)


@njit
def _bound_pigeonhole(items, num_packs):
    """The mean load, or more: of the `q * num_packs + 1` heaviest items some pack holds `q + 1`. Float64 [rows]."""
    rows, count = items.shape
    size = count // num_packs
    bound = np.zeros(rows)
    for row in range(rows):
        total = 0.0
        for item in range(count):
            total += items[row, item]
        bound[row] = total / num_packs
        for q in range(size):
            held = 0.0
            for item in range(q * num_packs - q, q * num_packs + 1):
                held += items[row, item]
            for item in range(count - size + 1 + q, count):
                held += items[row, item]
            bound[row] = max(bound[row], held)
    return bound


@njit
def _write_places(packs, pack_index, rank_in_pack):
    """Write the pack and the rank of each item, whose number is in the low bits of `packs`, counted from the last."""
    rows, num_packs, size = packs.shape
    numbers = packs.view(np.int64)
    last = num_packs * size - 1
    for row in range(rows):
        for pack in range(num_packs):
            for rank in range(size):
                item = last - min(numbers[row, pack, rank] & 2**29 - 1, last)
                pack_index[row, item] = pack
                rank_in_pack[row, item] = rank


def _placement(packs, weight, num_packs):
    """Where each item of `weight` is in `packs`: its pack and its rank there, int64 [rows, items]."""
    rows, items = weight.shape
    pack_index, rank_in_pack = np.empty((rows, items), np.int64), np.empty((rows, items), np.int64)
    _write_places(packs, pack_index, rank_in_pack)
    return torch.from_numpy(pack_index).to(weight.device), torch.from_numpy(rank_in_pack).to(weight.device)


def _pack(items, bound, num_packs):
    """One attempt at all rows: `items` in order, into packs, and those refined."""
    packs, loads = _assign_lockstep(items, num_packs, width=64)
    _refine_heaviest(packs, loads, bound, steps=96, tolerance=0.0003)
    return packs, loads


def balanced_packing(weight: torch.Tensor, num_packs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Pack the items of each row into `num_packs` packs of equally many, so that the heaviest pack is as light as possible.

    Parameters:
        weight: [X, n], the weight of each item
        num_packs: number of packs

    Returns:
        pack_index: [X, n], the pack index of each item
        rank_in_pack: [X, n], the rank of the item in the pack
    """
    rows, count = weight.shape
    assert count % num_packs == 0
    size = count // num_packs
    if rows == 0 or num_packs == 1 or size == 1:
        place = torch.arange(count, device=weight.device).expand(rows, count)
        return place // size, place % size
    items = _sorted(weight)
    bound = _bound_pigeonhole(items, num_packs)
    packs, loads = _pack(items, bound, num_packs)
    return _placement(packs, weight, num_packs)
# EVOLVE-BLOCK-END


def replicate_experts(weight: torch.Tensor, num_phy: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    Give every expert one replica, and each further replica to the expert whose replicas are the most loaded then.
    Among equals that is the expert of lowest index, so that a row of zeros has its answer too.

    Parameters:
        weight: [X, n], the load of each expert; computed with in float64
        num_phy: number of replicas of a row, at least n

    Returns:
        phy2log: [X, num_phy], the expert of each replica
        rank: [X, num_phy], which of its expert's replicas each one is, from 0
        logcnt: [X, n], the number of replicas of each expert
    """
    if weight.dim() != 2:
        raise ValueError(f"loads must be [rows, experts], but their shape is {list(weight.shape)}")
    num_rows, num_log = weight.shape
    if num_phy < num_log:
        raise ValueError(f"{num_phy} replicas cannot hold {num_log} experts")
    load = weight.double()
    share = load.clone()  # the load of each of an expert's replicas
    logcnt = torch.ones(num_rows, num_log, dtype=torch.int64, device=weight.device)
    rank = torch.zeros(num_rows, num_phy, dtype=torch.int64, device=weight.device)
    phy2log = torch.zeros_like(rank)
    phy2log[:, :num_log] = torch.arange(num_log, device=weight.device)
    for replica in range(num_log, num_phy):
        hottest = share.argmax(dim=1, keepdim=True)
        count = logcnt.gather(1, hottest)
        phy2log[:, replica:replica + 1] = hottest
        rank[:, replica:replica + 1] = count
        logcnt.scatter_(1, hottest, count + 1)
        share.scatter_(1, hottest, load.gather(1, hottest) / (count + 1))
    return phy2log, rank, logcnt


def rebalance_experts(weight: torch.Tensor, num_replicas: int, num_groups: int, num_nodes: int,
                      num_gpus: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    Plan a rebalance: how many replicas each expert gets, and where each of them lives.

    If the groups divide evenly among the nodes the policy is hierarchical: groups are packed onto nodes, experts are
    replicated within their node, and the node's replicas are packed onto its GPUs. Otherwise it is global: the same
    with one group and one node, so that any replica may go to any GPU.

    Parameters:
        weight: [L, E], the load of each expert of each layer, on any device; a layer may be all zero
        num_replicas: R, replicas of a layer
        num_groups: expert groups of a layer
        num_nodes: server nodes
        num_gpus: GPUs of all nodes together

    Returns, as int64 on the device of `weight`:
        phy2log: [L, R], the expert of each replica; replicas are numbered by node, within it by GPU
        log2phy: [L, E, max], the replicas of each expert, padded with -1
        logcnt: [L, E], the number of replicas of each expert

    Raises ValueError for loads or a topology that cannot be packed.
    """
    if min(num_groups, num_nodes) >= 1 and num_groups % num_nodes != 0:
        num_groups = num_nodes = 1
    _check(weight, num_replicas, num_groups, num_nodes, num_gpus)
    num_layers, num_experts = weight.shape
    load = weight.double()

    # A node's experts become neighbours: position[l, e] counts by node, within it by group.
    group_size = num_experts // num_groups
    group_place = _places(load.reshape(num_layers, num_groups, group_size).sum(dim=2), num_nodes)
    member = torch.arange(group_size, device=weight.device)
    position = (group_place.unsqueeze(2) * group_size + member).reshape(num_layers, num_experts)
    expert_at = torch.full_like(position, -1).scatter_(1, position, _columns(position))

    # From here on a row is a node of a layer, and knows its experts and replicas by their numbers within it.
    node_load = load.gather(1, expert_at).reshape(num_layers * num_nodes, -1)
    node_phy2log, node_rank, node_logcnt = replicate_experts(node_load, num_replicas // num_nodes)
    replica_load = (node_load / node_logcnt).gather(1, node_phy2log)
    node_place = _places(replica_load, num_gpus // num_nodes)

    # And back: numbers within a node become numbers within the layer.
    node = torch.arange(num_nodes, device=weight.device).repeat(num_layers).unsqueeze(1)
    place = (node * (num_replicas // num_nodes) + node_place).reshape(num_layers, num_replicas)
    source = (node * (num_experts // num_nodes) + node_phy2log).reshape(num_layers, num_replicas)
    expert = expert_at.gather(1, source)
    logcnt = node_logcnt.reshape(num_layers, num_experts).gather(1, position)
    phy2log = torch.full_like(expert, -1).scatter_(1, place, expert)
    most = int(logcnt.max())
    log2phy = torch.full((num_layers, num_experts * most), -1, dtype=torch.int64, device=weight.device)
    log2phy.scatter_(1, expert * most + node_rank.reshape(num_layers, num_replicas), place)
    return phy2log, log2phy.reshape(num_layers, num_experts, most), logcnt


def _places(weight: torch.Tensor, num_packs: int) -> torch.Tensor:
    """Where `balanced_packing` puts each item of [X, n]: numbers 0 to n - 1 of a row, counted by pack, then by rank."""
    # The packer is given plain float32, its contract, and may answer on another device: the seed's answers on the CPU.
    pack_index, rank_in_pack = balanced_packing(weight.float().contiguous(), num_packs)
    items_per_pack = weight.size(1) // num_packs
    return pack_index.to(weight.device) * items_per_pack + rank_in_pack.to(weight.device)


def _columns(like: torch.Tensor) -> torch.Tensor:
    """The column number of each element of [X, n]."""
    return torch.arange(like.size(1), device=like.device).expand_as(like)


def _check(weight: torch.Tensor, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int) -> None:
    """Raise ValueError, with the numbers that do not fit, unless `rebalance_experts` can pack this."""
    if weight.dim() != 2:
        raise ValueError(f"loads must be [layers, experts], but their shape is {list(weight.shape)}")
    num_layers, num_experts = weight.shape
    for name, number in (("layers", num_layers), ("experts", num_experts), ("groups", num_groups),
                         ("nodes", num_nodes), ("gpus", num_gpus), ("replicas", num_replicas)):
        if number < 1:
            raise ValueError(f"{name} is {number}, it must be at least 1")
    for what, number, by, divisor in (("experts", num_experts, "groups", num_groups),
                                      ("gpus", num_gpus, "nodes", num_nodes),
                                      ("replicas", num_replicas, "gpus", num_gpus)):
        if number % divisor != 0:
            raise ValueError(f"{what} ({number}) is not a multiple of {by} ({divisor})")
    if num_replicas < num_experts:
        raise ValueError(f"{num_replicas} replicas cannot hold {num_experts} experts")
    unfit = ~(torch.isfinite(weight) & (weight >= 0))
    if unfit.any():
        layer, expert = unfit.nonzero()[0].tolist()
        raise ValueError(f"the load of expert {expert} in layer {layer} is {weight[layer, expert].item()}, "
                         "it must be finite and not negative")
