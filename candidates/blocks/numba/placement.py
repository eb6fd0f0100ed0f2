# block: placement
# kind: frame
# needs: write_places
def _placement(packs, weight, num_packs):
    """Where each item of `weight` is in `packs`: its pack and its rank there, int64 [rows, items]."""
    rows, items = weight.shape
    pack_index, rank_in_pack = np.empty((rows, items), np.int64), np.empty((rows, items), np.int64)
    _write_places(packs, pack_index, rank_in_pack)
    return torch.from_numpy(pack_index).to(weight.device), torch.from_numpy(rank_in_pack).to(weight.device)
