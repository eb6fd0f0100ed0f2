//! Rebalance: has a program plan whole rebalances, window after window, beside the reference; verifies the plans and
//! scores them on their window and the next. The rules are those of a packing call. Each policy has a child of its own,
//! so that no child sees the same loads twice.

use std::time::Instant;

use packevolve_contract::protocol::{EvaluateRequest, Limits};
use packevolve_contract::rebalance::{Policy, RebalanceSample};
use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;
use rand::RngExt;

use crate::child::{Child, Failure, PlanCall};
use crate::plan::Plan;
use crate::shared::{PlanLayout, PlanOutputs};
use crate::slot::{Pair, unchanged};

use crate::judge::evaluate::{Course, Judge, Stage};

/// Plans whatever they cost: moved replicas lie between two.
const LEAST_WINDOWS: usize = 2;

/// Small rebalances that come first, with and without redundancy. They are verified, and pay for what a fresh process
/// sets up.
const SMALL: [Topology; 2] = [
    Topology { layers: 3, experts: 8, groups: 4, nodes: 2, gpus: 4, replicas: 12 },
    Topology { layers: 3, experts: 8, groups: 4, nodes: 2, gpus: 4, replicas: 8 },
];

/// Loads of the small ones: uneven, none at all, all equal.
fn small_load(at: usize) -> f32 {
    match at / 8 % 3 {
        0 => (at * at) as f32,
        1 => 0.0,
        _ => 5.0,
    }
}

/// One policy under way.
struct Planner {
    policy: Policy,
    /// Its child among those of the course.
    child: usize,
    before: Option<Plan>,
}

impl Judge {
    /// Has rebalances planned on all windows of the set, or as many as the budget allows, and notes what was measured;
    /// nothing if the program has no `rebalance_experts`.
    pub(super) fn rebalance(&mut self, course: &mut Course, request: &EvaluateRequest) -> Stage<()> {
        let started = Instant::now();
        let budget = request.budget_seconds.unwrap_or(f64::INFINITY);
        let mut planners = Vec::new();
        for &policy in Policy::of(&self.session.topology) {
            match self.begin_planner(course, request, policy)? {
                Ok(Some(planner)) => planners.push(planner),
                Ok(None) => return Ok(Ok(())),
                Err(failure) => return Ok(Err(failure)),
            }
        }
        for (taken, window) in course.schedule.windows_in_a_row().enumerate() {
            let charged: f64 = course.measurement.rebalance.iter().map(|sample| sample.seconds).sum();
            if taken >= LEAST_WINDOWS && charged > budget {
                break;
            }
            for planner in &mut planners {
                let limit_seconds = course.limits.evaluation_seconds;
                if started.elapsed().as_secs_f64() > limit_seconds {
                    return Ok(Err(Rejection::Hang { limit_seconds }.into()));
                }
                match self.plan(course, planner, window)? {
                    Ok(sample) => course.measurement.rebalance.push(sample),
                    Err(failure) => return Ok(Err(failure)),
                }
            }
        }
        Ok(Ok(()))
    }

    /// Forks the child of a policy, loads the program in it, and has it plan the small rebalances; `None` if the
    /// program has no `rebalance_experts`.
    fn begin_planner(
        &mut self,
        course: &mut Course,
        request: &EvaluateRequest,
        policy: Policy,
    ) -> Stage<Option<Planner>> {
        let topologies = SMALL.iter().chain([&self.session.topology]);
        let items = topologies.map(|topology| PlanLayout::of(topology).items()).max().unwrap_or(0);
        let call_seconds = Some(course.limits.call_seconds);
        let limits = Limits { call_seconds, ..self.session.limits.clone() };
        let device = self.slot.device();
        let mut child = Child::fork(&mut self.nursery, &request.program, items, &limits, device)?;
        child.prepare(device)?;
        let planner = Planner { policy, child: course.children.len(), before: None };
        course.children.push(child);
        course.called = planner.child;
        "loading".clone_into(&mut course.during);
        let child = &mut course.children[planner.child];
        if let Err(failure) = child.load(&request.file_name, &mut course.code)? {
            return Ok(Err(failure));
        }
        // Compilers may be at work until it has seen the real shape, on loads that are in no window.
        let real = child.may_compile().then_some(&self.session.topology);
        for topology in SMALL.iter().chain(real) {
            let (replicas, gpus) = (topology.replicas, topology.gpus);
            course.during = format!("a {} rebalance beforehand, {replicas} replicas on {gpus} GPUs", policy.name());
            let loads: Vec<f32> = (0..topology.layers * topology.experts).map(small_load).collect();
            let (groups, nodes) = policy.groups_and_nodes(topology);
            let planned = match child.plan(PlanCall { topology, groups, nodes, seed: 0 }, &loads)? {
                Ok(Some(returned)) => verified(&returned.outputs, &loads, topology),
                Ok(None) => return Ok(Ok(None)),
                Err(failure) => return Ok(Err(failure)),
            };
            if let Err(failure) = planned {
                return Ok(Err(failure));
            }
        }
        if let Err(failure) = child.seal(&mut self.nursery)? {
            return Ok(Err(failure));
        }
        child.pause();
        Ok(Ok(Some(planner)))
    }

    /// One rebalance: planned, verified, scored, and timed beside the reference.
    fn plan(&mut self, course: &mut Course, planner: &mut Planner, window: usize) -> Stage<RebalanceSample> {
        let topology = &self.session.topology;
        let (groups, nodes) = planner.policy.groups_and_nodes(topology);
        course.during = format!("{} rebalance, window {window}", planner.policy.name());
        course.called = planner.child;
        let now = self.pool.window(window);
        let loads: Vec<f32> = now.counts().iter().map(|&load| load as f32).collect();
        let call = PlanCall { topology, groups, nodes, seed: course.seeds.random::<u32>().into() };
        let Pair { returned, reference_seconds } =
            match self.slot.plan(&mut course.children[planner.child], call, &loads)? {
                Ok(Some(pair)) => pair,
                Ok(None) => {
                    let message = "rebalance_experts was there and is gone".to_owned();
                    return Ok(Err(Rejection::Protocol { message }.into()));
                }
                Err(failure) => return Ok(Err(failure)),
            };
        let plan = match verified(&returned.outputs, &loads, topology) {
            Ok(plan) => plan,
            Err(failure) => return Ok(Err(failure)),
        };
        let sample = RebalanceSample {
            policy: planner.policy,
            window,
            now: plan.loads(now),
            next: self.pool.after(window).map(|next| plan.loads(next)),
            moved: planner.before.as_ref().map(|before| plan.moved_since(before)),
            replicas: plan.replicas(),
            seconds: returned.time.as_secs_f64(),
            wall_seconds: returned.wall.as_secs_f64(),
            reference_seconds,
        };
        planner.before = Some(plan);
        Ok(Ok(sample))
    }
}

/// Whether a rebalance kept its contract: a valid plan, and its input as it was.
fn verified(outputs: &PlanOutputs, loads: &[f32], topology: &Topology) -> Result<Plan, Failure> {
    let experts = topology.experts;
    unchanged(&outputs.input, loads, |at| format!("layer {}, expert {}", at / experts, at % experts))?;
    Plan::verify(&outputs.maps, topology)
        .map_err(|error| Rejection::InvalidRebalance { message: error.to_string() }.into())
}
