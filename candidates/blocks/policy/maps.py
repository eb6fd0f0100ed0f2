# block: maps
# kind: frame
# needs: listed
def _maps(plan, experts, device):
    """The three maps of a plan [L, R]: phy2log, log2phy and logcnt."""
    counts = np.zeros((len(plan), experts), np.int64)
    np.add.at(counts, (np.arange(len(plan))[:, None], plan), 1)
    lists = _listed(plan, np.full((len(plan), experts, int(counts.max())), -1, np.int64))
    return tuple(torch.from_numpy(each).to(device) for each in (plan, lists, counts))
