"""Plans without a look at the loads: poor, but valid."""
import torch


def balanced_packing(weight, num_packs):
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs


def plan(weight, num_replicas):
    """Replicas dealt out expert by expert, whatever the loads: valid."""
    layers, experts = weight.shape
    replica = torch.arange(num_replicas)
    phy2log = (replica % experts).repeat(layers, 1)
    logcnt = torch.bincount(replica % experts, minlength=experts).repeat(layers, 1)
    log2phy = torch.full((experts, int(logcnt.max())), -1)
    log2phy[replica % experts, replica // experts] = replica
    return phy2log, log2phy.repeat(layers, 1, 1), logcnt


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):
    return plan(weight, num_replicas)
