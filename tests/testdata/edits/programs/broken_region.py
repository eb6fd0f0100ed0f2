# EVOLVE-BLOCK-START
def pack(weight):
    return weight
