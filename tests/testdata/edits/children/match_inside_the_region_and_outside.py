import torch

TABLE = 1
LIMIT = 3

# EVOLVE-BLOCK-START
LIMIT = 5


def pack(weight):
    return weight
# EVOLVE-BLOCK-END


def check(order):
    return order


# EVOLVE-BLOCK-START: helpers
def sweep(order):
    return order[::-1]
# EVOLVE-BLOCK-END
