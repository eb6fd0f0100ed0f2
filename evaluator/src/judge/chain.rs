//! Chain: has a program plan window after window, each plan from the one before it, and scores each on the window that it
//! serves. Each chain has a child and names of its own.

use std::rc::Rc;
use std::time::Instant;

use packevolve_contract::chain::{ChainMeasurement, Step};
use packevolve_contract::moves::{Moves, moved_between_nodes};
use packevolve_contract::plan::Plan;
use packevolve_contract::planning::{InForce, Rebalance};
use packevolve_contract::protocol::EvaluateRequest;
use packevolve_contract::rebalance::{PlanLoads, Policy};
use packevolve_contract::rejection::Rejection;
use packevolve_contract::statistic::percentile;
use packevolve_contract::stream::{Purpose, stream};
use packevolve_loads::window::Window;
use rand::RngExt;
use rand::seq::SliceRandom;

use crate::call::PlanInput;
use crate::chains::{Chain, Chains};
use crate::error::Halt;
use crate::judge::evaluate::{Ended, outclassed};
use crate::judge::plans::Asked;
use crate::judge::progress::Progress;
use crate::judge::rebalance::ask;
use crate::judge::session::Judge;
use crate::judge::verify::{check_fresh, check_groups, check_plan};
use crate::planner::{self, Course, Mark, gpu_loads};

/// The share of the layers that is served at least as well as [`Step::p90_layer`] says.
const MOST_LAYERS: f64 = 0.9;

/// How many calls of a chain but the first another child is asked for. With one, a program could keep something from call to
/// call in all of them but those of one length of the history, and be found by chance alone.
const REPEATED_CALLS: usize = 2;
/// The first of these calls. Before the call before it there was nothing to keep; but that call, too, must not depend on the
/// process, so it is always asked for.
const FIRST_REPEATED: usize = 2;
/// A chain is doubtful if the slot was disturbed in more than one of this many steps. None can be made again: its child has
/// seen the window, and planning time is a small part of what is lost.
const DISTURBED_OF: usize = 3;

/// A chain on its way.
struct Walk<'c> {
    chain: Chain,
    marks: &'c [Mark],
    policy: Policy,
    in_force: Plan,
}

/// A call and its plan, for the check of consistency.
pub(super) struct Kept {
    call: Rebalance,
    seeds: [u32; 2],
    here: Vec<i64>,
}

/// A step that was taken.
struct Taken {
    step: Step,
    kept: Kept,
    /// Whether the slot was disturbed meanwhile.
    is_disturbed: bool,
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
        let rounds = self.pool.search.rounds;
        // A program that knew which chain is checked could keep something from call to call in all others.
        let checked = stream(progress.repeats, 0, Purpose::RepeatedCalls).random_range(0..rounds);
        let mut inconsistencies = Vec::new();
        for round in 0..rounds {
            let course = self.course_of_search(round);
            let kept = self.walk(progress, round, &course, started)?;
            let threshold = request.outclassed.as_ref().filter(|_| inconsistencies.is_empty());
            if let Some(at_best) = outclassed(&progress.measurement, threshold) {
                return Ok(Ended::Outclassed { at_best });
            }
            let is_last = progress.charged_seconds(|_| true) > budget;
            if round == checked || is_last && round < checked {
                let fresh = self.afresh(progress, &kept[0])?;
                let asked = kept.iter().chain([&fresh]).map(Kept::asked).collect();
                inconsistencies = self.plan_inconsistencies(progress, asked)?;
                if inconsistencies.is_empty() {
                    fresh.check_balance()?;
                }
            }
            if is_last || !inconsistencies.is_empty() && !request.measures_inconsistent {
                break;
            }
        }
        Ok(if inconsistencies.is_empty() { Ended::Completed } else { Ended::Inconsistent(inconsistencies) })
    }

    /// Has the child of a chain plan a window of it with nothing in force, as an engine asks for that has just started. This
    /// plan is not scored, but it must not be poor, and ranks have to agree on it, too.
    fn afresh(&mut self, progress: &mut Progress<'_>, kept: &Kept) -> Result<Kept, Halt> {
        let call = Rebalance { in_force: None, ..kept.call.clone() };
        progress.during = format!("{}, with nothing in force", call.name());
        let (input, seeds) = (PlanInput::new(&call.loads, None), [0; 2].map(|_| progress.seeds.random()));
        progress.child().unpause();
        let returned = ask(progress.child(), &call, &input, seeds[0])?;
        progress.child().pause()?;
        let here = returned.outputs.arrays[0].clone();
        let plan = check_plan(returned.outputs, &input, &call.topology)?;
        check_groups(&plan, call.policy, &call.topology)?;
        Ok(Kept { call, seeds, here })
    }

    fn course_of_search(&mut self, number: usize) -> Rc<Course> {
        if let Some(known) = self.known_courses.get(number) {
            return Rc::clone(known);
        }
        let course = Rc::new(Course::new(self.chains().of_search(number), &self.session.topology));
        if number == self.known_courses.len() {
            self.known_courses.push(Rc::clone(&course));
        }
        course
    }

    /// A chain of a duel.
    pub(super) fn duel_course(&self, seed: u64, number: usize) -> Course {
        Course::new(self.chains().of_duel(seed, number), &self.session.topology)
    }

    /// Has a child of its own plan a chain. Returns some of its calls.
    pub(super) fn walk(
        &mut self,
        progress: &mut Progress<'_>,
        number: usize,
        course: &Course,
        started: Instant,
    ) -> Result<Vec<Kept>, Halt> {
        let topology = self.session.topology.clone();
        let policy = Policy::of(&topology)[0];
        self.end_children(progress)?;
        let history = self.chain_windows() - 2;
        if !self.start_planning(progress, &[(policy, &topology)], Some(history))? {
            return Err(Rejection::Load { message: "rebalance_experts does not exist".to_owned() }.into());
        }
        progress.child().pause()?;
        self.slot.charge_memory(progress.child())?;
        let chain = course.chain.renamed(&topology, &mut progress.order);
        let in_force = planner::planned(&chain.windows[0], &topology);
        let mut walk = Walk { chain, marks: &course.marks, policy, in_force };
        let last = walk.marks.len();
        let repeated = repeated_calls(progress.repeats, number, last);
        let mut kept: Vec<Option<Kept>> = repeated.iter().map(|_| None).collect();
        let (mut measured, mut disturbed) = (ChainMeasurement { chain: number, steps: Vec::new() }, 0);
        for at in 1..=last {
            progress.check_time(started)?;
            progress.during = format!("{}, window {at}", measured.name());
            let taken = self.step(progress, &mut walk, at)?;
            measured.steps.push(taken.step);
            disturbed += usize::from(taken.is_disturbed);
            if let Some(place) = repeated.iter().position(|repeated| *repeated == at) {
                kept[place] = Some(taken.kept);
            }
        }
        if disturbed * DISTURBED_OF > last {
            progress.doubt(measured.name());
        }
        progress.measurement.chains.push(measured);
        Ok(kept.into_iter().flatten().collect())
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

    fn step(&mut self, progress: &mut Progress<'_>, walk: &mut Walk<'_>, at: usize) -> Result<Taken, Halt> {
        let topology = self.session.topology.clone();
        let windows = &walk.chain.windows;
        let in_force = InForce {
            old_phy2log: walk.in_force.phy2log(),
            history: windows[..at].iter().flat_map(|window| &window.counts).copied().collect(),
        };
        let call = Rebalance::fresh(topology.clone(), walk.policy, windows[at].counts.clone());
        let call = Rebalance { in_force: Some(in_force), ..call };
        let (input, seeds) =
            (PlanInput::new(&call.loads, call.in_force.as_ref()), [0; 2].map(|_| progress.seeds.random()));
        let (returned, sides) = self.slot.pair(progress.child(), 1, |child| ask(child, &call, &input, seeds[0]))?;
        let here = returned.outputs.arrays[0].clone();
        let plan = check_plan(returned.outputs, &input, &topology)?;
        check_groups(&plan, walk.policy, &topology)?;
        let is_disturbed = self.is_disturbed(progress, sides)?;
        let (moves, next) = (Moves::between(&walk.in_force, &plan), &windows[at + 1]);
        let served = plan.layer_loads(&next.counts);
        let mark = walk.marks[at - 1];
        let balance = || served.iter().map(PlanLoads::balancedness);
        let step = Step {
            now: gpu_loads(&plan.loads(&windows[at].counts)),
            served: gpu_loads(&PlanLoads::sum(&served)),
            floor: mark.floor,
            planner: mark.planner,
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
            reference_seconds: f64::midpoint(sides[0], sides[1]),
        };
        walk.in_force = plan;
        Ok(Taken { step, kept: Kept { call, seeds, here }, is_disturbed })
    }
}

impl Kept {
    /// Checks that a plan with nothing in force is not poor.
    fn check_balance(&self) -> Result<(), Rejection> {
        let Rebalance { topology, loads, .. } = &self.call;
        let plan = Plan::new(&self.here, topology).expect("BUG: a plan that was checked");
        check_fresh(&plan, &Window::new(topology.experts, loads.clone()), topology)
    }

    fn asked(&self) -> Asked<'_> {
        let mut asked = Asked::new(&self.call, self.seeds);
        asked.here.clone_from(&self.here);
        asked
    }
}

/// The calls of a chain with that many that another child is asked for, in that order: no program can know those after the
/// first one.
fn repeated_calls(key: u64, chain: usize, last: usize) -> Vec<usize> {
    let mut calls: Vec<usize> = (FIRST_REPEATED.min(last)..=last).collect();
    // The chain that is checked has the number 0.
    calls.shuffle(&mut stream(key, 1 + chain as u64, Purpose::RepeatedCalls));
    calls.truncate(REPEATED_CALLS);
    // A slow program is asked for no more calls than the time allows: this one comes last.
    if !calls.contains(&1) {
        calls.push(1);
    }
    calls
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_first_call_is_repeated_and_so_may_be_any_two_others() {
        let drawn: BTreeSet<Vec<usize>> = (0..200).map(|key| repeated_calls(key, 3, 4)).collect();
        let pairs = [[2, 3, 1], [2, 4, 1], [3, 2, 1], [3, 4, 1], [4, 2, 1], [4, 3, 1]].map(Vec::from);
        assert_eq!(drawn, BTreeSet::from(pairs));
        assert_eq!((repeated_calls(1, 0, 1), repeated_calls(1, 0, 2)), (vec![1], vec![2, 1]));
        assert_ne!(repeated_calls(1, 0, 90), repeated_calls(1, 1, 90));
    }
}
