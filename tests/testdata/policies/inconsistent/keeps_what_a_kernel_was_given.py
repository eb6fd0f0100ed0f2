# Plans with noise that follows from the number of its calls, which a compiled function counts in an array.
import numba
import numpy

plan = rebalance_experts
calls = numpy.zeros(1, numpy.int64)


@numba.njit("int64(int64[::1])")
def count(calls):
    calls[0] += 1
    return calls[0]


def rebalance_experts(weight, *shape, old_phy2log=None, history=None):
    noise = torch.Generator().manual_seed(count(calls))
    return plan(weight * (1 + torch.rand(weight.size(1), generator=noise)), *shape)
