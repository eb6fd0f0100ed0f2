"""What vllm-ascend asks of a placement beyond balance. Plain arrays; a placement is [ranks, slots] of experts."""

import numpy as np


def loads_of_experts(table, workload):
    """[layers, experts]: the load of each expert, of those of its slots. Both are [layers, ranks, slots]."""
    layers, experts = len(table), int(table.max()) + 1
    number = np.arange(layers)[:, None] * experts + table.reshape(layers, -1)
    return np.bincount(number.ravel(), workload.ravel(), layers * experts).reshape(layers, experts)


def absent_experts(table):
    """[n, 2]: layer and number of each expert without a slot. Experts are numbered up to the highest of any layer."""
    held = np.zeros((len(table), int(table.max()) + 1), bool)
    held[np.arange(len(table))[:, None], table.reshape(len(table), -1)] = True
    return np.argwhere(~held)


def parted(placement, share):
    """The placement with no expert twice on a rank, or None if that is not found.

    share: [experts], the load of each replica. A replica too many changes places with the one, on a rank without its
    expert, that leaves the heavier of the two ranks lightest. Each swap leaves fewer such replicas.
    """
    placement = placement.copy()
    ranks = np.arange(len(placement))[:, None]
    held = np.zeros((len(placement), len(share)), np.int64)
    np.add.at(held, (ranks, placement), 1)
    loads = share[placement].sum(1)
    while True:
        doubled = np.argwhere(held[ranks, placement] > 1)
        if len(doubled) == 0:
            return placement
        rank, slot = doubled[0]
        expert = placement[rank, slot]
        fits = (held[:, expert] == 0)[:, None] & (held[rank][placement] == 0)
        if not fits.any():
            return None
        moved = share[expert] - share[placement]
        heavier = np.maximum(loads[rank] - moved, loads[:, None] + moved)
        other, place = np.unravel_index(np.where(fits, heavier, np.inf).argmin(), placement.shape)
        other_expert = placement[other, place]
        placement[rank, slot], placement[other, place] = other_expert, expert
        for holder, gone, come in ((rank, expert, other_expert), (other, other_expert, expert)):
            held[holder, gone] -= 1
            held[holder, come] += 1
            loads[holder] += share[come] - share[gone]


def with_kept_slots(placement, old):
    """The placement with each expert that stays on its rank in the slot that it has; no rank holds an expert twice."""
    kept = np.empty_like(placement)
    for rank, (new_here, old_here) in enumerate(zip(placement.tolist(), old.tolist())):
        stays = set(new_here) & set(old_here)
        coming = iter([expert for expert in new_here if expert not in stays])
        for slot, expert in enumerate(old_here):
            is_kept = expert in stays
            kept[rank, slot] = expert if is_kept else next(coming)
            stays.discard(expert)  # The old placement may hold it twice.
    return kept
