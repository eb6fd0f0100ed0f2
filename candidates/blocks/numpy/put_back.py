# block: put_back
# kind: helper
def _put_back(packs, loads, which, part, part_loads):
    """Write the packs and loads of some rows back to their place among all rows."""
    size, (rows, num_packs) = len(packs), loads.shape
    packs.reshape(size, rows, num_packs)[:, which] = part.reshape(size, len(which), num_packs)
    loads[which] = part_loads
