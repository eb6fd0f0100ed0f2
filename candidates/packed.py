# What `packevolve plan` and `packevolve worth` run where there is no run and no other program is named.
#
# Its lineage, from candidates/eplb.py:
#   1. vectorized_iterative_greedy: candidates/proposals/001_vectorized_iterative_greedy.txt
#   2. one_stable_attempt_with_more_swaps: one greedy pass instead of five (num_attempts), up to 60 swaps instead of 20
#      (max_iters), and a stable sort, so that equal loads are packed alike on every processor
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
def _refine_packing(weights: torch.Tensor,
                    pack_indices: torch.Tensor,
                    pack_weights: torch.Tensor,
                    num_packs: int,
                    groups_per_pack: int,
                    max_iters: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Refines packing by swapping items from the heaviest pack to any other pack
    to minimize the max load. Vectorized over the batch dimension (num_layers).
    """
    num_layers = weights.shape[0]
    batch_idx = torch.arange(num_layers, device=weights.device)

    for _ in range(max_iters):
        # 1. Identify the max load pack
        max_load, max_pid = torch.max(pack_weights, dim=1)

        # 2. Gather weights
        # Items in max pack: [L, G]
        max_pack_items = pack_indices[batch_idx, max_pid]
        w_max_items = weights.gather(1, max_pack_items)

        # Items in all packs: [L, M, G]
        w_all_items = weights.gather(1, pack_indices.view(num_layers, -1)).view(num_layers, num_packs, groups_per_pack)

        # 3. Calculate Deltas: w_u (from max) - w_v (from other)
        # target shape: [L, M, G_other, G_max]
        deltas = w_max_items.view(num_layers, 1, 1, groups_per_pack) - w_all_items.view(num_layers, num_packs, groups_per_pack, 1)

        # 4. Prospective loads
        # New Max = Max - delta, New Other = Other + delta
        cur_max = max_load.view(num_layers, 1, 1, 1)
        cur_other = pack_weights.view(num_layers, num_packs, 1, 1)

        new_max_load = cur_max - deltas
        new_other_load = cur_other + deltas

        # Objective: minimize max(new_max, new_other)
        metrics = torch.max(new_max_load, new_other_load)

        # Mask self-swaps (pack k == max_pid)
        mask = (torch.arange(num_packs, device=weights.device).unsqueeze(0) == max_pid.unsqueeze(1))
        mask = mask.view(num_layers, num_packs, 1, 1)
        metrics.masked_fill_(mask, float('inf'))

        # 5. Best swap
        flat_metrics = metrics.view(num_layers, -1)
        best_metric, best_idx = torch.min(flat_metrics, dim=1)

        # 6. Check for improvement
        improve_mask = best_metric < (max_load - 1e-5)
        if not improve_mask.any():
            break

        active_indices = batch_idx[improve_mask]
        if len(active_indices) == 0:
            break

        # 7. Execute swap for active layers
        idx_flat = best_idx[improve_mask]
        G = groups_per_pack
        G2 = G * G

        p_other = idx_flat // G2
        rem = idx_flat % G2
        g_other = rem // G
        g_max = rem % G

        p_max_active = max_pid[active_indices]

        item_max = pack_indices[active_indices, p_max_active, g_max]
        item_other = pack_indices[active_indices, p_other, g_other]

        pack_indices[active_indices, p_max_active, g_max] = item_other
        pack_indices[active_indices, p_other, g_other] = item_max

        w_max_val = weights[active_indices, item_max]
        w_other_val = weights[active_indices, item_other]
        d_val = w_max_val - w_other_val

        pack_weights[active_indices, p_max_active] -= d_val
        pack_weights[active_indices, p_other] += d_val

    return pack_indices, pack_weights


def balanced_packing(weight: torch.Tensor,
                     num_packs: int,
                     num_attempts: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Pack n weighted objects to m packs using Vectorized Iterated Greedy.
    Combines Greedy LPT with iterative re-weighting and local search refinement.
    """
    num_layers, num_groups = weight.shape
    device = weight.device
    assert num_groups % num_packs == 0
    groups_per_pack = num_groups // num_packs

    if groups_per_pack == 1:
        pack_index = torch.arange(num_groups, dtype=torch.int64,
                                  device=device).expand(num_layers, -1)
        rank_in_pack = torch.zeros_like(weight, dtype=torch.int64)
        return pack_index, rank_in_pack

    best_assignment = torch.zeros((num_layers, num_packs, groups_per_pack), dtype=torch.int64, device=device)
    best_max_loads = torch.full((num_layers,), float('inf'), device=device)
    virtual_weight = weight.clone().float()
    batch_idx = torch.arange(num_layers, device=device)
    inf_tensor = torch.tensor(float('inf'), device=device)

    # Pre-allocate tensors for speed
    curr_pack_assignment = torch.zeros((num_layers, num_packs, groups_per_pack), dtype=torch.int64, device=device)
    curr_pack_weights = torch.zeros((num_layers, num_packs), dtype=weight.dtype, device=device)
    curr_pack_counts = torch.zeros((num_layers, num_packs), dtype=torch.int64, device=device)

    for attempt in range(num_attempts):
        # 1. Greedy Initialization
        curr_pack_weights.zero_()
        curr_pack_counts.zero_()

        sorted_indices = torch.argsort(virtual_weight, dim=1, descending=True, stable=True)

        for j in range(num_groups):
            item_idx = sorted_indices[:, j] # [L]
            w_real = weight[batch_idx, item_idx] # [L]

            is_full = (curr_pack_counts >= groups_per_pack)
            masked_weights = torch.where(is_full, inf_tensor, curr_pack_weights)
            best_pack = torch.argmin(masked_weights, dim=1) # [L]

            slot = curr_pack_counts[batch_idx, best_pack]
            curr_pack_assignment[batch_idx, best_pack, slot] = item_idx
            curr_pack_weights[batch_idx, best_pack] += w_real
            curr_pack_counts[batch_idx, best_pack] += 1

        # 2. Refinement
        curr_pack_assignment, curr_pack_weights = _refine_packing(
            weight, curr_pack_assignment, curr_pack_weights, num_packs, groups_per_pack
        )

        # 3. Update Best
        curr_max_load, curr_max_pid = torch.max(curr_pack_weights, dim=1)
        improved = curr_max_load < best_max_loads

        if improved.any():
            mask_exp = improved.view(num_layers, 1, 1)
            best_assignment = torch.where(mask_exp, curr_pack_assignment, best_assignment)
            best_max_loads = torch.where(improved, curr_max_load, best_max_loads)

        # 4. Re-weighting
        if attempt < num_attempts - 1:
            max_p_items = curr_pack_assignment[batch_idx, curr_max_pid] # [L, G]
            mults = torch.ones_like(virtual_weight)
            src = torch.full_like(max_p_items, 1.05, dtype=virtual_weight.dtype)
            mults.scatter_(1, max_p_items, src)
            virtual_weight = virtual_weight * mults

    # Construct final outputs
    pack_index = torch.zeros_like(weight, dtype=torch.int64)
    rank_in_pack = torch.zeros_like(weight, dtype=torch.int64)

    flat_assignment = best_assignment.view(num_layers, -1)

    p_ids = torch.arange(num_packs, device=device).unsqueeze(1).expand(-1, groups_per_pack).reshape(1, -1).expand(num_layers, -1)
    r_ids = torch.arange(groups_per_pack, device=device).unsqueeze(0).expand(num_packs, -1).reshape(1, -1).expand(num_layers, -1)

    pack_index.scatter_(1, flat_assignment, p_ids)
    rank_in_pack.scatter_(1, flat_assignment, r_ids)

    return pack_index, rank_in_pack
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
