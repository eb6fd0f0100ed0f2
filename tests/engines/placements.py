"""What a placement is worth. It is int64 [layers, replicas], the expert in each slot; slots are numbered by GPU."""

import numpy as np


def identity(layers, experts, replicas):
    """Experts in order; the redundant slots hold the first experts again, as at the start of an engine."""
    return np.tile(np.arange(replicas) % experts, (layers, 1))


def balancedness(placement, loads, gpus):
    """The mean load of a GPU over that of the heaviest, both summed over the layers. Loads are [layers, experts]."""
    layers, experts = loads.shape
    counts = np.zeros((layers, experts))
    np.add.at(counts, (np.arange(layers)[:, None], placement), 1)
    share = np.take_along_axis(loads / counts, placement, 1)
    per_gpu = share.reshape(layers, gpus, -1).sum(2)
    return per_gpu.mean(1).sum() / per_gpu.max(1).sum()


def doubles(placement, gpus):
    """How many slots hold an expert that an earlier slot of their GPU holds too."""
    here = np.sort(placement.reshape(len(placement) * gpus, -1), 1)
    return int((here[:, 1:] == here[:, :-1]).sum())


def moved(placement, old):
    """The part of the slots that receive another expert."""
    return (placement != old).mean()


def with_kept_slots(placement, old, gpus):
    """The placement with experts that stay on their GPU in the slots that they have, one slot for each copy."""
    kept = np.empty_like(placement)
    shape = (len(placement) * gpus, -1)
    for new_here, old_here, out in zip(placement.reshape(shape), old.reshape(shape), kept.reshape(shape)):
        coming = new_here.tolist()
        stays = [expert in coming and not coming.remove(expert) for expert in old_here.tolist()]
        out[:] = [expert if stay else coming.pop(0) for expert, stay in zip(old_here.tolist(), stays)]
    return kept
