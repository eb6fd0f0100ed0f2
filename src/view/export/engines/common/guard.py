"""What holds in every package, whichever engine it is for: the versions that it takes, and the contract of the program.

The engines plan on every rank by themselves, so nothing here depends on the rank, the time or the processor.
"""

import functools
import inspect
import json
import logging
import os
from importlib import metadata, resources

import numpy as np
import torch

from . import program

#: Where the program comes from, as `packevolve export` wrote it.
ORIGIN = json.loads(resources.files(__package__).joinpath("origin.json").read_text(encoding="utf-8"))
#: Set to 1, it installs the planner into a version of the engine that it was not tried with.
FORCE = "PACKEVOLVE_FORCE"


def _keywords(planner):
    """What a program can start from, as the judge tells it."""
    offered = frozenset({"old_phy2log", "history"})
    try:
        parameters = inspect.signature(planner).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return offered
    return offered & {parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY}


#: Of a policy, which may start from the plan in force: the keywords that it has. Of a packer: none.
KEYWORDS = _keywords(getattr(program, "rebalance_experts", None))
#: Whether it has a `balanced_packing`; a policy need not.
PACKS = hasattr(program, "balanced_packing")
# No engine configures it, so its warnings go to the root logger, or to stderr.
LOGGER = logging.getLogger(__name__)
#: "hierarchical" or "global": how the run had policies plan. None: packing, or a program that is not of a run.
POLICY = (ORIGIN["run"] or {}).get("policy")


class Refused(ValueError, AssertionError):
    """Loads or a topology that cannot be planned. vLLM raises AssertionError for them, PackEvolve ValueError."""


def may_install(distribution, tried, logger):
    """Whether the installed version of the engine is one that was tried, or forced. Logs an error if it is neither."""
    try:
        version = metadata.version(distribution)
    except metadata.PackageNotFoundError:
        version = "of unknown version"
    if version.split("+")[0] in tried:
        return True
    mismatch = f"this is {distribution} {version}, it was tried with {', '.join(tried)}"
    if os.environ.get(FORCE) == "1":
        logger.warning("PackEvolve: %s; %s=1 installs it all the same", mismatch, FORCE)
        return True
    logger.error("PackEvolve is NOT in place: %s. The engine's own planner stays. %s=1 installs it all the same",
                 mismatch, FORCE)
    return False


def packed(weight, num_packs):
    """The program's `balanced_packing`, with its contract kept on both sides.

    Parameters:
        weight: [X, n], any real type, on any device
        num_packs: number of packs, a divisor of n

    Returns pack_index and rank_in_pack, int64 [X, n] on the CPU.

    Raises Refused for loads or packs that do not fit, and RuntimeError if the program breaks its contract.
    """
    plain = weight.detach().to("cpu", torch.float32).contiguous()
    check_loads(plain, "row", "item")
    rows, items = plain.shape
    if num_packs < 1 or items % num_packs != 0:
        raise Refused(f"{items} items do not divide among {num_packs} packs")
    if rows == 0:
        return torch.empty(0, items, dtype=torch.int64), torch.empty(0, items, dtype=torch.int64)
    pack_index, rank_in_pack = (output.cpu() for output in program.balanced_packing(plain, num_packs))
    if not _is_packing(pack_index, rank_in_pack, plain.shape, num_packs):
        raise RuntimeError(f"the packing of {ORIGIN['title']} is none, for {items} items in {num_packs} packs")
    return pack_index, rank_in_pack


def _is_packing(pack_index, rank_in_pack, shape, num_packs):
    size = shape[1] // num_packs
    for output, limit in ((pack_index, num_packs), (rank_in_pack, size)):
        if output.shape != shape or output.dtype != torch.int64:
            return False
        least, most = output.aminmax()
        if least < 0 or most >= limit:
            return False
    place = pack_index * size + rank_in_pack
    return bool(torch.zeros(shape, dtype=torch.bool).scatter_(1, place, True).all())


def plain(weight):
    """Loads in float32 on the CPU, as the judge gave them to the program: of a tensor on any device or an array."""
    # float32, as in the engines.
    if isinstance(weight, np.ndarray):
        return torch.from_numpy(np.array(weight, np.float32, order="C"))
    return weight.detach().to("cpu", torch.float32)


def planned(weight, num_replicas, num_groups, num_nodes, num_gpus, old_phy2log=None, history=None):
    """The program's `rebalance_experts`. Groups of 0 or None, or that do not divide among the nodes, mean the global
    policy.

    Parameters:
        weight: [L, E], a tensor on any device or an array, of any real type; L may be 0
        num_replicas: R, replicas of a layer, a multiple of num_gpus
        old_phy2log: the plan in force, [L, R], a tensor or an array; one of another shape is none. For a policy
        history: [S, L, E], the loads of earlier windows. For a policy

    Returns phy2log [L, R], log2phy [L, E, max] and logcnt [L, E], int64 on the CPU.

    Raises Refused for loads or a topology that cannot be planned, and RuntimeError if the program breaks its contract.
    """
    load = plain(weight)
    check_loads(load, "layer", "expert")
    if min(num_nodes, num_gpus, num_replicas) < 1:
        raise Refused(f"{num_replicas} replicas on {num_gpus} GPUs of {num_nodes} nodes: each must be at least 1")
    # One node holds every group.
    if not num_groups or num_nodes == 1 or num_groups % num_nodes != 0:
        num_groups = num_nodes = 1
    _check_topology(load.shape[1], num_replicas, num_groups, num_nodes, num_gpus)
    layers, experts = load.shape
    if layers == 0:
        shapes = ((0, num_replicas), (0, experts, 1), (0, experts))
        return tuple(torch.empty(shape, dtype=torch.int64) for shape in shapes)
    _warn_of_another_policy("global" if num_nodes == 1 else "hierarchical")
    in_force = {}
    if old_phy2log is not None and tuple(old_phy2log.shape) == (layers, num_replicas):
        in_force["old_phy2log"] = torch.as_tensor(old_phy2log).detach().to("cpu", torch.int64, copy=True).contiguous()
    if history is not None:
        in_force["history"] = plain(history).contiguous()
    in_force = {name: value for name, value in in_force.items() if name in KEYWORDS}
    tables = program.rebalance_experts(load.contiguous(), num_replicas, num_groups, num_nodes, num_gpus, **in_force)
    phy2log = tables[0]
    if not _is_plan(phy2log, (layers, num_replicas), experts):
        raise RuntimeError(f"the plan of {ORIGIN['title']} is none, for {experts} experts on {num_gpus} GPUs")
    return tables


@functools.cache
def _warn_of_another_policy(policy):
    """Warns once if the engine asks for plans that were not measured."""
    if POLICY not in (None, policy):
        LOGGER.warning("PackEvolve: the engine asks for %s plans, but %s was measured with %s ones. Search with the groups "
                       "and nodes that the engine passes", policy, ORIGIN["title"], POLICY)


def _is_plan(phy2log, shape, experts):
    if phy2log.shape != shape or phy2log.dtype != torch.int64 or phy2log.device.type != "cpu":
        return False
    least, most = phy2log.aminmax()
    if least < 0 or most >= experts:
        return False
    return bool(torch.zeros(shape[0], experts, dtype=torch.bool).scatter_(1, phy2log, True).all())


def check_loads(weight, row, column):
    """Raises Refused unless the loads are a matrix of finite numbers, none negative. The names are for its text."""
    if weight.dim() != 2:
        raise Refused(f"loads must be [{row}s, {column}s], but their shape is {list(weight.shape)}")
    if weight.numel() == 0:
        return
    least, most = weight.aminmax()  # Both are NaN if one load is.
    if least >= 0 and most < float("inf"):
        return
    unfit = ~(torch.isfinite(weight) & (weight >= 0))
    where, which = unfit.nonzero()[0].tolist()
    raise Refused(f"the load of {column} {which} in {row} {where} is {weight[where, which].item()}, "
                  "it must be finite and not negative")


def _check_topology(experts, replicas, groups, nodes, gpus):
    for what, number, by, divisor in (("experts", experts, "groups", groups), ("GPUs", gpus, "nodes", nodes),
                                      ("replicas", replicas, "GPUs", gpus)):
        if number % divisor != 0:
            raise Refused(f"{what} ({number}) is not a multiple of {by} ({divisor})")
    if experts < 1 or replicas < experts:
        raise Refused(f"{replicas} replicas cannot hold {experts} experts")
