"""Whether a package does in its engine what it promises. Each check is a function that fails by an exception."""

import functools
import hashlib
import importlib
import math
import os
import pickle

import engines
import numpy as np
import placements
import torch
from engines import Topology

UNFIT = (math.nan, math.inf, -math.inf, -1.0)
SMALL = Topology(replicas=72, groups=8, nodes=2, gpus=8)
PUBLISHED = torch.tensor([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
                          [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]])


def made_up(layers, experts, seed=0):
    """Skewed loads; of whole numbers, so that every processor makes the same."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(8, 64, (3, layers, experts), generator=generator).prod(0).float()


def refused(call, *arguments, errors=(ValueError,)):
    for error in errors:
        try:
            call(*arguments)
        except error:
            continue
        raise AssertionError(f"{arguments} is planned")


def is_plan(placement, layers, experts, replicas):
    assert placement.dtype == np.int64 and placement.shape == (layers, replicas), placement
    for row in placement:
        assert set(row.tolist()) == set(range(experts)), "an expert is missing"


# What every planner has to do: `plan(loads, topology, old, windows)`.


def plans_are_plans(plan):
    for layers, experts, topology in [(3, 64, SMALL), (1, 64, SMALL), (2, 64, Topology(64, 8, 2, 8)),
                                      (2, 256, Topology(288, 8, 4, 32)), (2, 256, Topology(288, 1, 1, 32)),
                                      (2, 16, Topology(48, 4, 2, 8)), (2, 8, Topology(8, 1, 1, 8))]:
        is_plan(plan(made_up(layers, experts), topology), layers, experts, topology.replicas)


def equal_and_empty_loads_are_planned(plan):
    for loads in (torch.zeros(2, 64), torch.full((2, 64), 7.0), torch.cat([torch.zeros(1, 64), made_up(1, 64)])):
        is_plan(plan(loads, SMALL), 2, 64, SMALL.replicas)


def groups_stay_on_their_node(plan):
    placement = plan(made_up(4, 64), SMALL)
    groups = placement.reshape(4, SMALL.nodes, -1) // (64 // SMALL.groups)
    for layer in groups:
        held = [set(node.tolist()) for node in layer]
        assert all(len(node) == SMALL.groups // SMALL.nodes for node in held) and not held[0] & held[1], held


def plans_are_reproduced(plan):
    first = plan(made_up(4, 64), SMALL)
    plan(made_up(4, 64, seed=1), SMALL)
    assert (first == plan(made_up(4, 64), SMALL)).all(), "a second call plans otherwise"
    following = made_up(4, 64, seed=2), SMALL, first, [made_up(4, 64)]
    kept = plan(*following)
    is_plan(kept, 4, 64, SMALL.replicas)
    assert (kept == plan(*following)).all(), "a second call from the same plan in force plans otherwise"


def unfit_loads_are_refused(plan):
    for load in UNFIT:
        loads = made_up(3, 64)
        loads[1, 5] = load
        refused(plan, loads, SMALL)


def digest(plan):
    """Of several plans; the processes of an engine must have the same."""
    hashed = hashlib.sha256()
    for seed in range(4):
        loads = made_up(6, 64, seed)
        loads[0], loads[1] = 0, (loads[1] / 2**15).round()
        fresh = plan(loads, SMALL)
        hashed.update(fresh.tobytes() + plan(made_up(6, 64, seed + 1), SMALL, fresh, [loads]).tobytes())
    return hashed.hexdigest()[:16]


EVERY = (plans_are_plans, equal_and_empty_loads_are_planned, groups_stay_on_their_node, plans_are_reproduced,
         unfit_loads_are_refused)


# What one engine asks.


def versions_that_were_not_tried_are_refused(name):
    guard = importlib.import_module(f"packevolve_{name}.guard")
    log, logger = engines.heard(), importlib.import_module(f"packevolve_{name}").LOGGER
    distribution = engines.ENGINES[name].distribution
    os.environ.pop(guard.FORCE, None)
    assert not guard.may_install(distribution, ("0.0.1",), logger)
    assert log.says("NOT in place") and log.says("0.0.1") and log.says(guard.FORCE), log.lines
    os.environ[guard.FORCE] = "1"
    assert guard.may_install(distribution, ("0.0.1",), logger)
    del os.environ[guard.FORCE]


def a_policy_is_given_what_is_in_force(name, plan):
    """The plan in force and the windows before, as far as the program takes them."""
    guard, given = engines.guard_of(name), []
    own = guard.program.rebalance_experts

    def spy(*arguments, **in_force):
        given.append(in_force)
        return own(*arguments, **in_force)

    windows = [made_up(4, 64, seed) for seed in range(3)]
    old = plan(windows[0], SMALL)
    guard.program.rebalance_experts = spy
    try:
        plan(windows[2], SMALL)
        plan(windows[2], SMALL, old, windows[:2])
    finally:
        guard.program.rebalance_experts = own
    first, second = given
    assert "history" not in first and ("old_phy2log" not in first or name == "ascend"), first
    assert set(second) == set(guard.KEYWORDS), f"of {set(guard.KEYWORDS)} it is given {set(second)}"
    if "old_phy2log" in second:
        assert second["old_phy2log"].dtype == torch.int64 and np.array_equal(second["old_phy2log"].numpy(), old)
    if "history" in second:
        assert second["history"].dtype == torch.float32 and torch.equal(second["history"], torch.stack(windows[:2]))


def sglang_is_patched(log):
    assert log.says("replaces balanced_packing"), log.lines
    _sglang_says_once(log, _sglang_packs)


def sglang_is_patched_with_a_policy(log):
    assert log.says("replaces rebalance_experts"), log.lines
    _sglang_says_once(log, lambda: engines.sglang_planner("deepseek")(made_up(2, 64), SMALL))


def _sglang_packs():
    from sglang.srt.eplb.eplb_algorithms import deepseek

    deepseek.balanced_packing(made_up(2, 8), 4)


def _sglang_says_once(log, call):
    assert log.says("Applied 1 hook(s)"), log.lines
    assert not log.says("is in place"), "it says that it plans before it does"
    call()
    call()
    assert sum("PackEvolve is in place" in line for _, line in log.lines) == 1, log.lines


def sglang_plans_no_layers():
    assert engines.sglang_planner("deepseek")(torch.zeros(0, 64), SMALL).shape == (0, 72)


def sglang_packs_nothing():
    from sglang.srt.eplb.eplb_algorithms import deepseek

    for output in deepseek.balanced_packing(torch.zeros(0, 8), 4):
        assert output.shape == (0, 8) and output.dtype == torch.int64


def sglang_plans_around_failed_ranks():
    from sglang.srt.eplb.eplb_algorithms import elasticity_aware

    active = torch.tensor([1] * 7 + [0])
    placement, _, _ = elasticity_aware.rebalance_experts(made_up(2, 56), 64, 8, 2, 8, True, active)
    for row in placement.reshape(2, -1):
        assert set(range(56)) <= set(row.tolist()), "an expert is missing"


def vllm_is_patched(log):
    from vllm.distributed.eplb.policy import EPLB_POLICIES, AbstractEplbPolicy, DefaultEplbPolicy

    assert set(EPLB_POLICIES) == {"default"}
    assert issubclass(EPLB_POLICIES["default"], AbstractEplbPolicy)
    assert EPLB_POLICIES["default"] is not DefaultEplbPolicy
    assert log.says("PackEvolve is in place"), log.lines


def vllm_restarted():
    """vLLM's planner, each call as the first one of a process."""
    policy = engines.vllm_policy()

    def plan(*arguments):
        engines.remember("vllm")
        return policy.rebalance_experts(*arguments)

    return plan


def vllm_takes_what_vllm_gives():
    plan = vllm_restarted()
    loads = made_up(3, 64)
    wanted = plan(loads, *SMALL)
    assert wanted.device.type == "cpu" and wanted.dtype == torch.int64
    for same in (loads.int(), loads.long(), loads.double(), loads.numpy(), loads.double().numpy(),
                 loads.t().contiguous().t(), loads.numpy()[::-1, ::-1].copy()[::-1, ::-1]):
        assert torch.equal(plan(same, *SMALL), wanted), type(same)


def vllm_packs_arrays():
    policy = engines.vllm_policy()
    weight = made_up(4, 72).numpy()
    wanted = policy.balanced_packing(weight, 8)
    for same in (weight.astype(np.float64), np.asfortranarray(weight)):
        for output, expected in zip(policy.balanced_packing(same, 8), wanted):
            assert isinstance(output, np.ndarray) and output.dtype == np.int64 and (output == expected).all()


def vllm_plans_models_without_groups():
    plan = vllm_restarted()
    loads = made_up(2, 64)
    wanted = plan(loads, 72, 1, 1, 8)
    for groups, nodes in ((0, 2), (0, 1), (1, 2), (3, 2)):
        assert torch.equal(plan(loads, 72, groups, nodes, 8), wanted), (groups, nodes)


def vllm_plans_no_layers():
    assert engines.vllm_policy().rebalance_experts(torch.zeros(0, 64), *SMALL).shape == (0, 72)


def vllm_keeps_slots():
    plan = vllm_restarted()
    old = plan(made_up(4, 64), *SMALL)
    loads = made_up(4, 64) + made_up(4, 64, seed=1) / 4
    plain, kept = plan(loads, *SMALL), plan(loads, *SMALL, old)
    same = placements.with_kept_slots(kept.numpy(), old.numpy(), SMALL.gpus)
    assert (kept.numpy() == same).all(), "an expert that stays on its rank changes its slot"
    smaller = torch.zeros(4, 64, dtype=torch.int64)
    assert torch.equal(plan(loads, *SMALL, smaller), plain), "another number of slots is kept"
    if engines.guard_of("vllm").KEYWORDS:
        return  # A policy plans otherwise from a plan in force.
    assert (kept != old).sum() < (plain != old).sum(), "as many slots change"
    by_gpu = [placement.reshape(32, -1).sort(1).values for placement in (plain, kept)]
    assert torch.equal(*by_gpu), "an expert moved to another GPU"
    assert torch.equal(plan(made_up(4, 64), *SMALL, old), old), "an unchanged plan moves experts"


def vllm_refuses_what_vllm_refuses():
    policy, both = engines.vllm_policy(), (ValueError, AssertionError)
    for arguments in ((7, 2, 2, 4), (8, 2, 2, 3), (2, 2, 2, 2), (8, 2, 0, 4), (0, 1, 1, 1)):
        refused(policy.rebalance_experts, torch.tensor([[10.0, 20.0, 30.0, 40.0]]), *arguments, errors=both)
    for load in UNFIT:
        refused(policy.balanced_packing, np.array([[1.0, load]]), 2, errors=both)
    refused(policy.rebalance_experts, torch.zeros(4), 4, 1, 1, 2, errors=both)


def deepseek_answers_as_published():
    """Shapes and counts; the plan itself is that of a greedy packing."""
    module = importlib.import_module("packevolve_deepseek")
    phy2log, log2phy, logcnt = module.rebalance_experts(PUBLISHED, 16, 4, 2, 8)
    assert phy2log.shape == (2, 16) and log2phy.shape == (2, 12, 2)
    assert logcnt.tolist() == [[1, 2, 1, 1, 2, 2, 1, 1, 1, 1, 2, 1], [1, 2, 1, 1, 1, 2, 2, 1, 2, 1, 1, 1]]
    assert module.rebalance_experts(torch.zeros(0, 12), 16, 4, 2, 8)[1].shape == (0, 12, 1)


# vllm-ascend: loads come by slot, and its worker has a check of its own.


def ascend_worker(table, workload):
    """The engine's own worker with a placement [layers, ranks, slots] and the load of each slot."""
    from vllm_ascend.eplb.core.eplb_worker import EplbWorker

    worker = EplbWorker({}, policy_type=1)
    worker.rank_id = 0
    worker.shared_dict = {"expert_maps": worker.local2global(table), "moe_load": workload}
    return worker


def ascend_state(loads, ranks, slots, old=None):
    """A placement, by default that at the start of an engine, and the load of each slot."""
    layers, experts = loads.shape
    old = placements.identity(layers, experts, ranks * slots) if old is None else old
    table = torch.from_numpy(old).reshape(layers, ranks, slots)
    counts = torch.zeros(layers, experts).scatter_add_(1, table.reshape(layers, -1), torch.ones(layers, ranks * slots))
    return table, (loads / counts).gather(1, table.reshape(layers, -1)).reshape(table.shape)


def ascend_is_patched(log):
    from packevolve_ascend.policy import PackEvolvePolicy
    from vllm_ascend.eplb.core.policy.policy_factory import PolicyFactory

    assert log.says("PackEvolve is loaded"), log.lines
    policy = PolicyFactory.generate_policy(1)
    assert isinstance(policy, PackEvolvePolicy) and log.says("PackEvolve is in place"), log.lines
    assert isinstance(pickle.loads(pickle.dumps(policy)), PackEvolvePolicy), "its process cannot be spawned"
    assert not isinstance(PolicyFactory.generate_policy(0), PackEvolvePolicy) and log.says("NOT in place")


def ascend_accepts_every_layer(log):
    for experts, ranks, slots in ((64, 8, 9), (256, 32, 9), (16, 8, 4), (64, 8, 8)):
        table, workload = ascend_state(made_up(6, experts), ranks, slots)
        worker = ascend_worker(table, workload)
        log.records.clear()
        engines.remember("ascend")
        updates = worker.do_update()
        assert not [line for level, line in log.lines if level in ("ERROR", "WARNING")], log.lines
        after = worker.global2local(worker.old_expert_maps, slots)
        assert len(updates) == 6 and not torch.equal(after, table), "nothing is moved"
        engines.remember("ascend")
        changed, priority, new = worker.policy.rebalance_experts(table, workload)
        assert changed == 1 and sorted(priority.tolist()) == list(range(6))
        assert torch.equal(torch.tensor(new), after), "the worker's check changed the plan"
        before = [placements.balancedness(part.reshape(6, -1).numpy(), made_up(6, experts).numpy(), ranks)
                  for part in (table, after)]
        assert before[1] > before[0], f"balancedness {before}"
        is_plan(after.reshape(6, -1).numpy(), 6, experts, ranks * slots)


def ascend_parts_doubles_and_keeps_slots():
    policy = ascend_worker(*ascend_state(made_up(4, 16), 8, 4)).policy
    for seed in range(4):
        loads = made_up(4, 16, seed)
        loads[0] = 0
        loads[1, 3] = 1e6  # More replicas of it are wanted than there are ranks.
        table, workload = ascend_state(loads, 8, 4)
        _, _, new = policy.rebalance_experts(table, workload)
        new = np.array(new)
        assert placements.doubles(new.reshape(4, -1), 8) == 0 or (new[1] == table[1].numpy()).all()
        again, _, same = policy.rebalance_experts(torch.from_numpy(new), workload * 0)
        assert again == 0 and (np.array(same) == new).all(), "layers without loads are changed"


def ascend_takes_a_placement_with_doubles():
    loads = made_up(1, 4)
    table = torch.tensor([[[0, 0, 1], [2, 3, 2]]])
    workload = torch.tensor([[[3.0, 3.0, 1.0], [2.5, 1.0, 2.5]]])
    worker = ascend_worker(*ascend_state(loads, 2, 3))
    changed, _, new = worker.policy.rebalance_experts(table, workload)
    new = torch.tensor(new)
    assert changed == 1 and placements.doubles(new.reshape(1, -1).numpy(), 2) == 0
    kept = new.clone()
    worker.check_expert_placement(table, kept)
    assert torch.equal(kept, new)


def ascend_refuses_unfit_loads():
    policy = ascend_worker(*ascend_state(made_up(2, 16), 8, 4)).policy
    for load in UNFIT:
        table, workload = ascend_state(made_up(2, 16), 8, 4)
        workload[1, 2, 3] = load
        refused(policy.rebalance_experts, table, workload)
    table, workload = ascend_state(made_up(2, 16), 8, 4)
    refused(policy.rebalance_experts, table, workload[:, :4])
    table[0, 0, 0] = -1
    refused(policy.rebalance_experts, table, workload)
    assert policy.rebalance_experts(table[:0], workload[:0])[0] == 0


def ascend_planner():
    """vllm-ascend's policy as a planner of logical loads; it knows no nodes."""
    from vllm_ascend.eplb.core.policy.policy_factory import PolicyFactory

    policy = PolicyFactory.generate_policy(1)

    def plan(loads, topology, old=None, _=()):
        state = ascend_state(loads, topology.gpus, topology.replicas // topology.gpus, old)
        return np.array(policy.rebalance_experts(*state)[2]).reshape(len(loads), -1)

    return plan


def of_engine(name, log):
    """The planner of an engine that has loaded its package, and its checks: functions without arguments."""
    made, is_policy = PLANNERS[name], bool(engines.guard_of(name).KEYWORDS)
    plan = engines.of_package(name, made())
    if name == "deepseek":
        own = [] if is_policy else [deepseek_answers_as_published]
    elif name == "sglang":
        own = [functools.partial(sglang_is_patched_with_a_policy if is_policy else sglang_is_patched, log),
               sglang_plans_no_layers if is_policy else sglang_packs_nothing, sglang_plans_around_failed_ranks]
    elif name == "vllm":
        own = [functools.partial(vllm_is_patched, log), vllm_takes_what_vllm_gives, vllm_packs_arrays,
               vllm_plans_models_without_groups, vllm_plans_no_layers, vllm_keeps_slots, vllm_refuses_what_vllm_refuses]
    else:
        own = [functools.partial(ascend_is_patched, log), functools.partial(ascend_accepts_every_layer, log),
               ascend_parts_doubles_and_keeps_slots, ascend_takes_a_placement_with_doubles, ascend_refuses_unfit_loads]
    if is_policy:
        own.append(functools.partial(a_policy_is_given_what_is_in_force, name, plan))
    if name != "deepseek":
        own.append(functools.partial(versions_that_were_not_tried_are_refused, name))
    # vllm-ascend does not say which ranks share a node.
    left_out = (groups_stay_on_their_node,) if name == "ascend" else ()
    return plan, [*own, *(functools.partial(check, plan) for check in EVERY if check not in left_out)]


PLANNERS = {
    "deepseek": engines.deepseek_planner,
    "sglang": lambda: engines.sglang_planner("deepseek"),
    "vllm": engines.vllm_planner,
    "ascend": ascend_planner,
}
