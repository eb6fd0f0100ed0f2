# block: placement
# kind: frame
def _placement(packs, weight, num_packs):
    """Where each item of `weight` is in `packs`: its pack and its rank there, int64 [rows, items]."""
    rows, items = weight.shape
    size = items // num_packs
    place = packs.view(np.int64) & (2**29 - 1)
    place.reshape(size, rows, num_packs)[...] += (np.arange(rows) * items)[:, None]
    pack_index = np.empty(rows * items, np.int64)
    rank_in_pack = np.empty(rows * items, np.int64)
    pack_index[place.reshape(size, rows, num_packs)] = np.arange(num_packs)
    rank_in_pack[place] = np.arange(size)[:, None]
    return [torch.from_numpy(x).view(rows, items).to(weight.device) for x in (pack_index, rank_in_pack)]
