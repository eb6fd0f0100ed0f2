# Keeps what is in force, where its groups are together: nothing is moved.
plan = rebalance_experts


def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus, *, old_phy2log=None, history=None):
    made = plan(weight, num_replicas, num_groups, num_nodes, num_gpus)
    if old_phy2log is None or num_groups % num_nodes:
        return made
    of_node = old_phy2log.view(len(weight), num_nodes, -1) // (weight.size(1) // num_groups)
    groups = torch.zeros(len(weight), num_nodes, num_groups, dtype=torch.int64).scatter_(2, of_node, 1)
    if groups.sum(1).max() > 1:
        return made
    counts = torch.zeros_like(made[2]).scatter_add_(1, old_phy2log, torch.ones_like(old_phy2log))
    lists = torch.full((*counts.shape, int(counts.max())), -1, dtype=torch.int64)
    for layer, row in enumerate(old_phy2log.tolist()):
        place = [0] * counts.size(1)
        for slot, expert in enumerate(row):
            lists[layer, expert, place[expert]] = slot
            place[expert] += 1
    return old_phy2log.clone(), lists, counts
