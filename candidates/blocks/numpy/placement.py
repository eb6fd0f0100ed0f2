# block: placement
# kind: frame
def _placement(packs, weight, num_packs):
    """Where each item of `weight` is in `packs`: its pack and its rank there, int64 [rows, items]."""
    rows, items = weight.shape
    size = items // num_packs
    place = packs.view(np.int64) & (2**29 - 1)  # Tags count from a row's last item.
    by_row = place.reshape(size, rows, num_packs)
    np.subtract((np.arange(1, rows + 1) * items - 1)[:, None], by_row, out=by_row)
    pack_index = np.empty(rows * items, np.int64)
    rank_in_pack = np.empty(rows * items, np.int64)
    pack_index[by_row] = np.arange(num_packs)
    rank_in_pack[place] = np.arange(size)[:, None]
    return [torch.from_numpy(x).view(rows, items).to(weight.device) for x in (pack_index, rank_in_pack)]
