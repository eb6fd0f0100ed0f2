//! Rebalance: calls `rebalance_experts` window after window, and times it like a packing call. Verifies each plan and
//! scores it on its window and on the next one. Each policy has its own child, so that no child sees the same loads
//! twice.

use std::time::Instant;

use packevolve_contract::maps::Maps;
use packevolve_contract::moves::Moves;
use packevolve_contract::plan::Plan;
use packevolve_contract::planning::{InForce, Rebalance};
use packevolve_contract::protocol::TimeLimits;
use packevolve_contract::rebalance::{Policy, RebalanceSample};
use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;
use packevolve_loads::window::Window;
use rand::RngExt;

use crate::call::{PlanCall, PlanInput, Returned};
use crate::child::Child;
use crate::error::Halt;
use crate::judge::progress::Progress;
use crate::judge::session::Judge;
use crate::judge::verify::{check_groups, check_plan};
use crate::planner;
use crate::shared::Outputs;
use crate::window::PoolWindow;

/// The windows that are planned regardless of the budget: moved replicas need two.
const LEAST_WINDOWS: usize = 2;

/// Small rebalances that come first, with and without redundant replicas. They are verified but not scored, and pay for
/// the set-up of a fresh process.
pub(super) const SMALL: [Topology; 2] = [
    Topology { layers: 3, experts: 8, groups: 4, nodes: 2, gpus: 4, replicas: 12 },
    Topology { layers: 3, experts: 8, groups: 4, nodes: 2, gpus: 4, replicas: 8 },
];

/// The memory that the largest of these calls needs, each with its number of earlier windows if there is a plan in force.
pub(super) fn bytes_of_plans<'t>(calls: impl Iterator<Item = (&'t Topology, Option<usize>)>) -> u64 {
    // The first calls have a history of one window.
    let call = |(topology, history): (_, Option<usize>)| PlanCall {
        topology,
        groups: 1,
        nodes: 1,
        seed: 0,
        history: history.map(|windows| windows.max(1)),
    };
    calls.map(|of: (&Topology, _)| call(of).layout(Maps::most_columns(of.0)).end()).max().unwrap_or(0)
}

/// What is in force in a first call.
#[derive(Clone, Copy)]
enum Start {
    Nothing,
    /// The plan that engines start with, in which the groups of a node are not together.
    Identity,
    /// A plan of DeepSeek's planner for other loads, in which they are.
    Planned,
}

/// The first call of a child for a topology, on loads that are in no window, with the plan that engines start with in force
/// or with none.
pub(super) fn first_call(topology: &Topology, policy: Policy, has_plan: bool) -> Rebalance {
    first_call_from(if has_plan { Start::Identity } else { Start::Nothing }, topology, policy)
}

fn first_call_from(start: Start, topology: &Topology, policy: Policy) -> Rebalance {
    let loads = first_loads(topology);
    let history: Vec<f64> = loads.iter().rev().copied().collect();
    let plan = match start {
        Start::Nothing => None,
        Start::Identity => Some(Plan::identity(topology)),
        Start::Planned => Some(planner::planned(&Window::new(topology.experts, history.clone()), topology)),
    };
    let in_force = plan.map(|plan| InForce { old_phy2log: plan.phy2log(), history });
    Rebalance { in_force, ..Rebalance::fresh(topology.clone(), policy, loads) }
}

/// The small first calls of a program that is asked for plans by `policy`: from nothing, and with `has_plans`, from plans.
/// With `has_both_policies` it is asked by the other policy, too: an engine decides by its model and its nodes how it calls a
/// program, and what was pruned for one policy must make plans for the other one instead of reading beyond arrays.
pub(super) fn small_calls(policy: Policy, has_plans: bool, has_both_policies: bool) -> Vec<Rebalance> {
    let starts = if has_plans { &[Start::Nothing, Start::Identity, Start::Planned][..] } else { &[Start::Nothing] };
    let others = Policy::ALL.into_iter().filter(|other| has_both_policies && *other != policy);
    let calls = |policy| {
        SMALL.iter().flat_map(move |topology| starts.iter().map(move |start| first_call_from(*start, topology, policy)))
    };
    [policy].into_iter().chain(others).flat_map(calls).collect()
}

/// Loads of the first rebalances: by turns eight uneven loads, eight times none, and eight equal ones.
fn first_loads(topology: &Topology) -> Vec<f64> {
    let load = |at: usize| match at / 8 % 3 {
        0 => (at * at) as f64,
        1 => 0.0,
        _ => 5.0,
    };
    (0..topology.layers * topology.experts).map(load).collect()
}

/// What a program does that a call before proved to have `rebalance_experts`.
fn no_longer_there() -> Halt {
    Rejection::Protocol { message: "rebalance_experts no longer exists".to_owned() }.into()
}

/// Asks a child for a plan; `None` if the program does not define `rebalance_experts`. Returns what it was given, too.
fn planned(child: &mut Child, call: &Rebalance, seed: u32) -> Result<Option<(Returned<Outputs<3>>, PlanInput)>, Halt> {
    let input = PlanInput::new(&call.loads, call.in_force.as_ref());
    Ok(child.plan(plan_call(call, seed), &input)?.map(|returned| (returned, input)))
}

/// Asks a child for a plan of a program that has made one.
pub(super) fn ask(
    child: &mut Child,
    call: &Rebalance,
    input: &PlanInput,
    seed: u32,
) -> Result<Returned<Outputs<3>>, Halt> {
    child.plan(plan_call(call, seed), input)?.ok_or_else(no_longer_there)
}

fn plan_call(call: &Rebalance, seed: u32) -> PlanCall<'_> {
    let (groups, nodes) = call.policy.groups_and_nodes(&call.topology);
    PlanCall { topology: &call.topology, groups, nodes, seed: seed.into(), history: call.history() }
}

struct Planner {
    policy: Policy,
    child: usize,
    previous: Option<Plan>,
}

impl Judge {
    /// Measures rebalances on the held-out windows, or on those of the search if there are none, as many as the budget allows; none if the program does not define
    /// `rebalance_experts`.
    pub(super) fn rebalance(&mut self, progress: &mut Progress<'_>, budget_seconds: Option<f64>) -> Result<(), Halt> {
        let started = Instant::now();
        let budget = budget_seconds.unwrap_or(f64::INFINITY);
        let mut planners = Vec::new();
        for &policy in Policy::of(&self.session.topology) {
            match self.start_planner(progress, policy)? {
                Some(planner) => planners.push(planner),
                None => return Ok(()),
            }
        }
        for (taken, window) in self.pool.of_rebalances().enumerate() {
            let charged: f64 = progress.measurement.rebalance.iter().map(|sample| sample.seconds).sum();
            if taken >= LEAST_WINDOWS && charged > budget {
                break;
            }
            for planner in &mut planners {
                progress.check_time(started)?;
                let sample = self.planned(progress, planner, window)?;
                progress.measurement.rebalance.push(sample);
            }
        }
        Ok(())
    }

    /// Starts the child of a policy and warms it up; `None` if the program does not define `rebalance_experts`.
    fn start_planner(&mut self, progress: &mut Progress<'_>, policy: Policy) -> Result<Option<Planner>, Halt> {
        let topology = self.session.topology.clone();
        if !self.start_planning(progress, &[(policy, &topology)], None)? {
            return Ok(None);
        }
        progress.child().pause()?;
        self.slot.charge_memory(progress.child())?;
        Ok(Some(Planner { policy, child: progress.current, previous: None }))
    }

    /// Starts a child for rebalances of these topologies, at least one, and makes its first calls: from no plan, and, with
    /// `history`, the most windows of a history, from a plan; false if the program does not define `rebalance_experts`.
    pub(super) fn start_planning(
        &mut self,
        progress: &mut Progress<'_>,
        rebalances: &[(Policy, &Topology)],
        history: Option<usize>,
    ) -> Result<bool, Halt> {
        let topologies = SMALL.iter().chain(rebalances.iter().map(|(_, topology)| *topology));
        self.start_child(progress, bytes_of_plans(topologies.map(|topology| (topology, history))))?;
        // A child that may compile, or load kernels, also gets the real shapes, with loads that are in no window.
        let prepares = progress.child().may_compile() || self.slot.is_on_gpu();
        let small = small_calls(rebalances[0].0, history.is_some(), self.session.chain_windows.is_some());
        let mut real = Vec::new();
        for &(policy, topology) in rebalances.iter().filter(|_| prepares) {
            let starts = [false, true].into_iter().filter(|has_plan| !has_plan || history.is_some());
            real.extend(starts.map(|has_plan| first_call(topology, policy, has_plan)));
        }
        // A program that hangs on a small call needs no long limit.
        let call_seconds = progress.limits.call_seconds;
        let short = call_seconds.min(TimeLimits::LEAST.call_seconds);
        let limits = std::iter::repeat_n(short, small.len()).chain(std::iter::repeat(call_seconds));
        for (call, limit) in small.into_iter().chain(real).zip(limits) {
            progress.child().limits.call_seconds = Some(limit);
            let Topology { replicas, gpus, .. } = call.topology;
            progress.during = format!("a first {} rebalance, {replicas} replicas on {gpus} GPUs", call.policy.name());
            let Some((returned, input)) = planned(progress.child(), &call, 0)? else { return Ok(false) };
            let plan = check_plan(returned.outputs, &input, &call.topology)?;
            // Groups of the other policy are not checked: vllm-ascend's planners know none, and global runs accept them.
            if call.in_force.is_some() && rebalances.iter().any(|(policy, _)| *policy == call.policy) {
                check_groups(&plan, call.policy, &call.topology)?;
            }
        }
        progress.child().limits.call_seconds = Some(call_seconds);
        progress.finish_compiling()?;
        self.keep_kernels(progress.program.is_of_blocks, &progress.kernels)?;
        progress.child().seal(&mut self.nursery)?;
        Ok(true)
    }

    fn planned(
        &mut self,
        progress: &mut Progress<'_>,
        planner: &mut Planner,
        window: usize,
    ) -> Result<RebalanceSample, Halt> {
        let topology = &self.session.topology;
        progress.during = format!("{} rebalance, window {window}", planner.policy.name());
        progress.current = planner.child;
        let PoolWindow { now, next, .. } = self.pool.window(window);
        let call = Rebalance::fresh(topology.clone(), planner.policy, now.counts.clone());
        let (input, seed) = (PlanInput::new(&call.loads, None), progress.seeds.random());
        let (returned, [before, after]) =
            self.slot.pair(progress.child(), 1, |child| ask(child, &call, &input, seed))?;
        let plan = check_plan(returned.outputs, &input, topology)?;
        let sample = RebalanceSample {
            policy: planner.policy,
            window,
            now: plan.loads(&now.counts),
            next: next.map(|next| plan.loads(&next.counts)),
            moved: planner.previous.as_ref().map(|previous| Moves::between(previous, &plan).slots),
            replicas: plan.replicas(),
            seconds: returned.time.as_secs_f64(),
            wall_seconds: returned.wall.as_secs_f64(),
            reference_seconds: f64::midpoint(before, after),
        };
        planner.previous = Some(plan);
        Ok(sample)
    }
}
