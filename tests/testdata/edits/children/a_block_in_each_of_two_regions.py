import torch

TABLE = 1
LIMIT = 3

# EVOLVE-BLOCK-START
LIMIT = 3


def pack(weight):
    return weight + 1
# EVOLVE-BLOCK-END


def check(order):
    return order


# EVOLVE-BLOCK-START: helpers
def sweep(order):
    return order
# EVOLVE-BLOCK-END
