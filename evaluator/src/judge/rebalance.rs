//! Rebalance: calls `rebalance_experts` window after window, and times it like a packing call. Verifies each plan and
//! scores it on its window and on the next one. Each policy has its own child, so that no child sees the same loads
//! twice.

use std::time::Instant;

use packevolve_contract::rebalance::{Policy, RebalanceSample};
use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;
use rand::RngExt;

use crate::call::PlanCall;
use crate::error::Halt;
use crate::judge::progress::Progress;
use crate::judge::session::Judge;
use crate::judge::verify::check_plan;
use crate::plan::Plan;
use crate::window::PoolWindow;

/// The windows that are planned regardless of the budget: moved replicas need two.
const LEAST_WINDOWS: usize = 2;

/// Small rebalances that come first, with and without redundant replicas. They are verified but not scored, and pay for
/// the set-up of a fresh process.
const SMALL: [Topology; 2] = [
    Topology { layers: 3, experts: 8, groups: 4, nodes: 2, gpus: 4, replicas: 12 },
    Topology { layers: 3, experts: 8, groups: 4, nodes: 2, gpus: 4, replicas: 8 },
];

/// Loads of the small rebalances: an uneven layer, an empty one, and one of equal loads.
fn small_load(at: usize) -> f32 {
    match at / 8 % 3 {
        0 => (at * at) as f32,
        1 => 0.0,
        _ => 5.0,
    }
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
                let sample = self.plan(progress, planner, window)?;
                progress.measurement.rebalance.push(sample);
            }
        }
        Ok(())
    }

    /// Starts the child of a policy and warms it up; `None` if the program does not define `rebalance_experts`.
    fn start_planner(&mut self, progress: &mut Progress<'_>, policy: Policy) -> Result<Option<Planner>, Halt> {
        let topologies = SMALL.iter().chain([&self.session.topology]);
        let bytes = topologies.map(|topology| {
            PlanCall { topology, groups: 1, nodes: 1, seed: 0 }.layout(Plan::most_columns(topology)).end()
        });
        self.start_child(progress, bytes.max().unwrap_or(0))?;
        // A child that may compile also gets the real shape, with loads that are in no window.
        let real = progress.child().may_compile().then_some(&self.session.topology);
        for topology in SMALL.iter().chain(real) {
            let (replicas, gpus) = (topology.replicas, topology.gpus);
            progress.during = format!("a first {} rebalance, {replicas} replicas on {gpus} GPUs", policy.name());
            let loads: Vec<f32> = (0..topology.layers * topology.experts).map(small_load).collect();
            let (groups, nodes) = policy.groups_and_nodes(topology);
            let planned = progress.child().plan(PlanCall { topology, groups, nodes, seed: 0 }, &loads)?;
            let Some(returned) = planned else { return Ok(None) };
            check_plan(returned.outputs, &loads, topology)?;
        }
        progress.child().seal(&mut self.nursery)?;
        progress.child().pause()?;
        Ok(Some(Planner { policy, child: progress.current, previous: None }))
    }

    fn plan(
        &mut self,
        progress: &mut Progress<'_>,
        planner: &mut Planner,
        window: usize,
    ) -> Result<RebalanceSample, Halt> {
        let topology = &self.session.topology;
        let (groups, nodes) = planner.policy.groups_and_nodes(topology);
        progress.during = format!("{} rebalance, window {window}", planner.policy.name());
        progress.current = planner.child;
        let PoolWindow { now, next, .. } = self.pool.window(window);
        let loads: Vec<f32> = now.counts.iter().map(|&load| load as f32).collect();
        let call = PlanCall { topology, groups, nodes, seed: progress.seeds.random::<u32>().into() };
        let (returned, [before, after]) = self.slot.pair(progress.child(), 1, |child| {
            child.plan(call, &loads)?.ok_or_else(|| {
                let message = "rebalance_experts no longer exists".to_owned();
                Rejection::Protocol { message }.into()
            })
        })?;
        let plan = check_plan(returned.outputs, &loads, topology)?;
        let sample = RebalanceSample {
            policy: planner.policy,
            window,
            now: plan.loads(now),
            next: next.map(|next| plan.loads(next)),
            moved: planner.previous.as_ref().map(|previous| plan.moved_since(previous)),
            replicas: plan.replicas(),
            seconds: returned.time.as_secs_f64(),
            wall_seconds: returned.wall.as_secs_f64(),
            reference_seconds: f64::midpoint(before, after),
        };
        planner.previous = Some(plan);
        Ok(sample)
    }
}
