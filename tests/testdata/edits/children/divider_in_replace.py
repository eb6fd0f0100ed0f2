"""Packing
=======

Packs things.
"""
# =======
# ======= heuristics =======
# =======


def pack(weight):
    return """
=======
"""
