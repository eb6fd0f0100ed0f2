"""A message whose characters take several bytes each, and half a character."""


def balanced_packing(weight, num_packs):
    raise ValueError("漢\x01" * 16_000 + "\ud800")
