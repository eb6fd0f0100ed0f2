//! Chain: has a program plan window after window, each plan from the one before it, and scores each on the window that it
//! serves. Each chain has a child and names of its own.

use std::rc::Rc;
use std::time::Instant;

use packevolve_contract::chain::{ChainMeasurement, GpuLoads, Step};
use packevolve_contract::moves::{Moves, moved_between_nodes};
use packevolve_contract::plan::Plan;
use packevolve_contract::planning::{InForce, Rebalance};
use packevolve_contract::protocol::EvaluateRequest;
use packevolve_contract::rebalance::{PlanLoads, Policy};
use packevolve_contract::rejection::Rejection;
use packevolve_contract::statistic::percentile;
use rand::RngExt;

use crate::call::PlanInput;
use crate::chains::{Chain, Chains};
use crate::error::Halt;
use crate::judge::evaluate::{Ended, outclassed};
use crate::judge::plans::Asked;
use crate::judge::progress::Progress;
use crate::judge::rebalance::ask;
use crate::judge::session::Judge;
use crate::judge::verify::{check_groups, check_plan};
use crate::planner;

/// The share of the layers that is served at least as well as [`Step::p90_layer`] says.
const MOST_LAYERS: f64 = 0.9;

/// A chain on its way.
struct Walk {
    chain: Chain,
    policy: Policy,
    in_force: Plan,
}

/// The last call of a chain, for the check of consistency.
pub(super) struct LastCall {
    call: Rebalance,
    seeds: [u32; 2],
    here: Vec<i64>,
}

impl Judge {
    /// The number of windows of a chain, if whole policies are measured.
    fn chain_windows(&self) -> usize {
        self.session.chain_windows.expect("BUG: only whole policies walk chains")
    }

    fn chains(&self) -> Chains<'_> {
        let (windows, loads_seed) = (self.chain_windows(), self.session.loads_seed);
        Chains { pool: &self.pool, series: self.series.as_ref(), windows, loads_seed }
    }

    /// Measures a program on the chains of the search, as many as the budget allows.
    pub(super) fn measure_chains(
        &mut self,
        progress: &mut Progress<'_>,
        request: &EvaluateRequest,
        started: Instant,
    ) -> Result<Ended, Halt> {
        let budget = request.budget_seconds.unwrap_or(f64::INFINITY);
        let mut inconsistencies = Vec::new();
        for round in 0..self.pool.search.rounds {
            if round > 0 && progress.charged_seconds(|_| true) > budget {
                break;
            }
            let chain = self.chain_of_search(round);
            let last = self.walk(progress, round, &chain, started)?;
            let threshold = request.outclassed.as_ref().filter(|_| inconsistencies.is_empty());
            if let Some(at_best) = outclassed(&progress.measurement, threshold) {
                return Ok(Ended::Outclassed { at_best });
            }
            if round == 0 {
                let mut asked = Asked::new(&last.call, last.seeds);
                asked.here = last.here;
                inconsistencies = self.plan_inconsistencies(progress, vec![asked])?;
            }
            if !inconsistencies.is_empty() && !request.measures_inconsistent {
                break;
            }
        }
        Ok(if inconsistencies.is_empty() { Ended::Completed } else { Ended::Inconsistent(inconsistencies) })
    }

    fn chain_of_search(&mut self, number: usize) -> Rc<Chain> {
        if let Some(known) = self.known_chains.get(number) {
            return Rc::clone(known);
        }
        let chain = Rc::new(self.chains().of_search(number));
        if number == self.known_chains.len() {
            self.known_chains.push(Rc::clone(&chain));
        }
        chain
    }

    /// The chain of a duel.
    pub(super) fn duel_chain(&self, seed: u64, number: usize) -> Chain {
        self.chains().of_duel(seed, number)
    }

    /// Has a child of its own plan a chain. Returns its last call.
    pub(super) fn walk(
        &mut self,
        progress: &mut Progress<'_>,
        number: usize,
        chain: &Chain,
        started: Instant,
    ) -> Result<LastCall, Halt> {
        let topology = self.session.topology.clone();
        let policy = Policy::of(&topology)[0];
        self.end_children(progress)?;
        let history = self.chain_windows() - 2;
        if !self.start_planning(progress, &[(policy, &topology)], Some(history))? {
            return Err(Rejection::Load { message: "rebalance_experts does not exist".to_owned() }.into());
        }
        progress.child().pause()?;
        self.slot.charge_memory(progress.child())?;
        let chain = chain.renamed(&topology, &mut progress.order);
        let in_force = planner::planned(&chain.windows[0], &topology);
        let mut walk = Walk { chain, policy, in_force };
        let (mut steps, mut last) = (Vec::new(), None);
        for at in 1..walk.chain.windows.len() - 1 {
            progress.check_time(started)?;
            progress.during = format!("chain {number}, window {at}");
            let (step, call) = self.step(progress, &mut walk, at)?;
            steps.push(step);
            last = Some(call);
        }
        progress.measurement.chains.push(ChainMeasurement { chain: number, steps });
        Ok(last.expect("BUG: a chain has a window to plan for"))
    }

    /// The children of earlier chains are of no more use.
    fn end_children(&mut self, progress: &mut Progress<'_>) -> Result<(), Halt> {
        for old in progress.children.drain(..) {
            let peak = &mut progress.measurement.peak_memory_bytes;
            *peak = (*peak).max(old.peak_memory);
            old.end(&mut self.nursery, "", String::new())?;
        }
        self.slot.look_at_memory()?;
        self.slot.interrupt();
        Ok(())
    }

    fn step(&mut self, progress: &mut Progress<'_>, walk: &mut Walk, at: usize) -> Result<(Step, LastCall), Halt> {
        let topology = &self.session.topology;
        let windows = &walk.chain.windows;
        let in_force = InForce {
            old_phy2log: walk.in_force.phy2log(),
            history: windows[..at].iter().flat_map(|window| &window.counts).copied().collect(),
        };
        let call = Rebalance::fresh(topology.clone(), walk.policy, windows[at].counts.clone());
        let call = Rebalance { in_force: Some(in_force), ..call };
        let (input, seeds) =
            (PlanInput::new(&call.loads, call.in_force.as_ref()), [0; 2].map(|_| progress.seeds.random()));
        let (returned, [before, after]) =
            self.slot.pair(progress.child(), 1, |child| ask(child, &call, &input, seeds[0]))?;
        let here = returned.outputs.arrays[0].clone();
        let plan = check_plan(returned.outputs, &input, topology)?;
        check_groups(&plan, walk.policy, topology)?;
        let (moves, next) = (Moves::between(&walk.in_force, &plan), &windows[at + 1]);
        let served = plan.layer_loads(&next.counts);
        let balance = || served.iter().map(PlanLoads::balancedness);
        let step = Step {
            now: gpu_loads(&plan.loads(&windows[at].counts)),
            served: gpu_loads(&PlanLoads::sum(&served)),
            floor: planner::floor(next, topology),
            worst_layer: balance().fold(1.0, f64::min),
            p90_layer: percentile(balance(), 1.0 - MOST_LAYERS),
            moved: moves.slots,
            busiest_gpu: moves.busiest_gpu,
            cross_node: moved_between_nodes(&walk.in_force, &plan, topology.nodes),
            doubles: plan.doubles().slots as u64,
            replicas: plan.replicas(),
            gpus: topology.gpus as u64,
            seconds: returned.time.as_secs_f64(),
            wall_seconds: returned.wall.as_secs_f64(),
            reference_seconds: f64::midpoint(before, after),
        };
        walk.in_force = plan;
        Ok((step, LastCall { call, seeds, here }))
    }
}

fn gpu_loads(loads: &PlanLoads) -> GpuLoads {
    GpuLoads { mean: loads.mean_gpu, max: loads.max_gpu }
}
