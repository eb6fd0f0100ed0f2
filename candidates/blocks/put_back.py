# block: put_back
# kind: helper
def _put_back(packs, loads, which, part, part_loads):
    """Put the packs and loads of some rows in their place among all."""
    size, (rows, num_packs) = len(packs), loads.shape
    packs.reshape(size, rows, num_packs)[:, which] = part.reshape(size, len(which), num_packs)
    loads[which] = part_loads
