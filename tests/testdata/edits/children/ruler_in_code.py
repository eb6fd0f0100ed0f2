"""Packing
=======

Packs things.
"""
# =======
# ======= better heuristics =======
# =======


def pack(weight):
    return weight
