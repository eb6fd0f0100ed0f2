# The function balanced_packing below is DeepSeek's, as vLLM formats it:
#
#   SPDX-License-Identifier: MIT
#   SPDX-FileCopyrightText: Copyright (c) 2025 DeepSeek (https://github.com/deepseek-ai/EPLB)
#   SPDX-License-Identifier: Apache-2.0
#   SPDX-FileCopyrightText: Copyright contributors to the vLLM project (https://github.com/vllm-project/vllm)
#
# The texts of both licences are in LICENSE-THIRD-PARTY of the PackEvolve repository. Everything else in this file is
# PackEvolve's, MIT OR Apache-2.0.
"""The seed program for `target: policy`: a whole rebalancing policy, which may start from the plan in force.

The lines between the EVOLVE-BLOCK markers may be edited: replication, packing and planning. This one is DeepSeek's, which
makes a fresh plan each time.
"""

import torch


# EVOLVE-BLOCK-START
def balanced_packing(weight: torch.Tensor,
                     num_packs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Pack n weighted objects to m packs, such that each bin contains exactly
    n/m objects and the weights of all packs are as balanced as possible.

    Parameters:
        weight: [X, n], the weight of each item
        num_packs: number of packs

    Returns:
        pack_index: [X, n], the pack index of each item
        rank_in_pack: [X, n], the rank of the item in the pack
    """
    num_layers, num_groups = weight.shape
    assert num_groups % num_packs == 0
    groups_per_pack = num_groups // num_packs

    if groups_per_pack == 1:
        pack_index = torch.arange(weight.size(-1),
                                  dtype=torch.int64,
                                  device=weight.device).expand(weight.shape)
        rank_in_pack = torch.zeros_like(weight, dtype=torch.int64)
        return pack_index, rank_in_pack

    indices = weight.float().sort(-1, descending=True).indices.cpu()
    pack_index = torch.full_like(weight,
                                 fill_value=-1,
                                 dtype=torch.int64,
                                 device="cpu")
    rank_in_pack = torch.full_like(pack_index, fill_value=-1)
    for i in range(num_layers):
        pack_weights = [0] * num_packs
        pack_items = [0] * num_packs
        for group in indices[i]:
            pack = min(
                (i
                 for i in range(num_packs) if pack_items[i] < groups_per_pack),
                key=pack_weights.__getitem__,
            )
            assert pack_items[pack] < groups_per_pack
            pack_index[i, group] = pack
            rank_in_pack[i, group] = pack_items[pack]
            pack_weights[pack] += weight[i, group]
            pack_items[pack] += 1
    return pack_index, rank_in_pack


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


def rebalance_experts(weight: torch.Tensor, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int, *,
                      old_phy2log: torch.Tensor | None = None,
                      history: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
        old_phy2log: [L, R] int64, the plan in force; it may be any, such as the one that an engine starts with
        history: [S, L, E], the loads of earlier windows, oldest first

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
# EVOLVE-BLOCK-END


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
