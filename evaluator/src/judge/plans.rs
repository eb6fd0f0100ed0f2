//! Plans: calls of `rebalance_experts` that are made for their plans, and whether the plans depend on the process or on
//! the layers that are planned together.
//!
//! The first answer to a call is its plan. Its time is the median over that call and calls on loads that are resampled
//! from its own. Then a child that differs in everything that must make no difference
//! ([`switches`](crate::judge::switches)) is asked for the same plan, and a third one for its layers in reversed order in
//! two halves, and for some of them alone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::inconsistency::{Inconsistency, Switch};
use packevolve_contract::planning::{Planned, Rebalance, TimedPlan};
use packevolve_contract::protocol::PlanRequest;
use packevolve_contract::stream::{Purpose, stream};
use packevolve_loads::window::Window;
use rand::RngExt;

use crate::call::{PlanInput, Returned};
use crate::child::Child;
use crate::error::{Halt, JudgeError};
use crate::judge::evaluate::{Ended, Streams};
use crate::judge::progress::{Program, Progress};
use crate::judge::question::figures;
use crate::judge::rebalance::{SMALL, ask, bytes_of_plans, first_call, small_calls};
use crate::judge::session::Judge;
use crate::judge::verify::check_plan;
use crate::judge::warm_up::COMPILING_CALLS;
use crate::kernels::Kernels;
use crate::made_up::derived;
use crate::nursery::Nursery;
use crate::schedule::Schedule;
use crate::shared::Outputs;

/// How long the calls that another child is asked after the first one may take together.
const CHECK: Duration = Duration::from_secs(2);
/// How many layers of a call are planned alone.
const SINGLE_LAYERS: usize = 4;

/// A call, and how it was answered.
pub(super) struct Asked<'r> {
    call: &'r Rebalance,
    /// Of the call, or of the one at which the other child failed before it was asked.
    name: String,
    /// The seed of the call in the first child, and another one.
    pub seeds: [u32; 2],
    /// The expert in each slot, row-major, as the first child planned.
    pub here: Vec<i64>,
    /// The same from another child, if it was asked.
    there: Option<Vec<i64>>,
    /// For each layer whether the other child plans it in another way; `None` if it was not asked.
    elsewhere: Vec<Option<bool>>,
    /// For each layer whether it is planned in another way if other layers are planned with it; `None` if that was not
    /// asked.
    among_others: Vec<Option<bool>>,
}

impl Judge {
    /// Has a program make plans. If the nursery or the reference program breaks, starts new ones and tries once more.
    pub fn plan(&mut self, request: &PlanRequest) -> Result<Planned, JudgeError> {
        let problem = |(number, call): (usize, &Rebalance)| call.problem().map(|problem| (number, problem));
        let nothing = request.calls.is_empty().then(|| (0, "there is no call".to_owned()));
        if let Some((number, problem)) = request.calls.iter().enumerate().find_map(problem).or(nothing) {
            return Err(JudgeError::Plan { number, problem });
        }
        let _held = self.place.lock.hold()?;
        match self.plan_once(request) {
            Err(error @ (JudgeError::Nursery(_) | JudgeError::Reference(_))) => {
                tracing::warn!(%error, "replacing the nursery");
                self.replace_nursery()?;
                self.plan_once(request)
            }
            other => other,
        }
    }

    fn plan_once(&mut self, request: &PlanRequest) -> Result<Planned, JudgeError> {
        if request.checks_consistency {
            self.start_elsewhere()?;
        }
        let program = Program { text: &request.program, file_name: &request.file_name, is_of_blocks: false };
        let streams = Streams::of(self.session.rng_seed, 0);
        let mut progress = self.start(program, request.limits, Schedule::new(0..0, 0, 0), streams)?;
        let (ended, planned) = match self.plans(&mut progress, request) {
            Ok(planned) => (Ok(Ended::Completed), Some(planned)),
            Err(halt) => (Err(halt), None),
        };
        match self.end(progress, ended)? {
            Evaluation::Rejected { rejection, evidence } => Ok(Planned::Rejected { rejection, evidence }),
            _ => Ok(planned.expect("BUG: calls end with plans or a rejection")),
        }
    }

    fn plans(&mut self, progress: &mut Progress<'_>, request: &PlanRequest) -> Result<Planned, Halt> {
        let started = Instant::now();
        let shapes: Vec<_> = request.calls.iter().map(|call| (call.policy, &call.topology)).collect();
        let history = request.calls.iter().filter_map(Rebalance::history).max();
        if !self.start_planning(progress, &shapes, history)? {
            return Ok(Planned::Absent);
        }
        let (mut plans, mut asked) = (Vec::new(), Vec::new());
        for (number, call) in request.calls.iter().enumerate() {
            progress.check_time(started)?;
            let (question, seconds) = self.asked(progress, (number, call), request.repeats)?;
            plans.push(TimedPlan { phy2log: question.here.clone(), seconds });
            asked.push(question);
        }
        let inconsistencies =
            if request.checks_consistency { self.plan_inconsistencies(progress, asked)? } else { Vec::new() };
        Ok(Planned::Plans { plans, inconsistencies })
    }

    /// Makes a call for its plan, and calls on loads that are resampled from its own for the time.
    fn asked<'r>(
        &self,
        progress: &mut Progress<'_>,
        (number, call): (usize, &'r Rebalance),
        repeats: usize,
    ) -> Result<(Asked<'r>, Vec<f64>), Halt> {
        let mut asked = Asked::new(call, [progress.seeds.random(), progress.seeds.random()]);
        let window = Window::new(call.topology.experts, call.loads.clone());
        let mut seconds = Vec::new();
        for repeat in 0..repeats.max(1) {
            progress.during = format!("{}, call {number}, repeat {repeat}", call.name());
            let mut rng = stream(self.session.rng_seed, (number as u64) << 16 | repeat as u64, Purpose::PlanLoads);
            let loads = if repeat == 0 { call.loads.clone() } else { derived(&window, &mut rng).counts };
            let input = PlanInput::new(&loads, call.in_force.as_ref());
            let returned = ask(progress.child(), call, &input, asked.seeds[0])?;
            seconds.push(returned.time.as_secs_f64());
            let phy2log = returned.outputs.arrays[0].clone();
            check_plan(returned.outputs, &input, &call.topology)?;
            if repeat == 0 {
                asked.here = phy2log;
            }
        }
        Ok((asked, seconds))
    }

    /// How plans depend on the process, on calls before them, or on other layers. At least one call was asked.
    pub(super) fn plan_inconsistencies(
        &mut self,
        progress: &mut Progress<'_>,
        mut asked: Vec<Asked<'_>>,
    ) -> Result<Vec<Inconsistency>, Halt> {
        let calls: Vec<&Rebalance> = asked.iter().map(|asked| asked.call).collect();
        let bytes = bytes_of_all(&calls);
        let (keeps_shape, has_both_policies) = (self.session.allow_compile, self.session.chain_windows.is_some());
        let mut under_way = None;
        let mut kernels = self.kernels_of(progress.program.text)?;
        let elsewhere =
            self.in_another_child(progress, &mut kernels, bytes, self.switches(), |child, nursery, kernels| {
                warm_up((child, nursery, kernels), &calls, has_both_policies, &mut under_way)?;
                ask_elsewhere(child, &mut asked)?;
                if keeps_shape { ask_in_parts(child, &mut asked, reversed) } else { Ok(()) }
            });
        if elsewhere.is_ok() {
            self.keep_kernels(progress.program.is_of_blocks, &kernels)?;
        }
        match elsewhere {
            Err(Halt::Broken(error)) => return Err(error.into()),
            // It did not get as far as its first call.
            Err(Halt::Rejected { .. }) if asked[0].elsewhere[0].is_none() => asked[0].fails_before(under_way),
            _ => {}
        }
        if !keeps_shape {
            // A third child, which has not planned the layers together and so cannot repeat what it answered then.
            let in_parts =
                self.in_another_child(progress, &mut kernels, bytes, self.switches(), |child, _, kernels| {
                    child.finish_compiling(kernels)?;
                    ask_in_parts(child, &mut asked, halves)?;
                    ask_in_parts(child, &mut asked, singles)
                });
            if let Err(Halt::Broken(error)) = in_parts {
                return Err(error.into());
            }
        }
        self.report_plans(progress, &asked)
    }

    fn report_plans(&mut self, progress: &mut Progress<'_>, asked: &[Asked<'_>]) -> Result<Vec<Inconsistency>, Halt> {
        let differing: Vec<&Asked<'_>> = asked.iter().filter(|asked| figures(&asked.elsewhere).is_some()).collect();
        let mut differs_by =
            |judge: &mut Self, progress: &mut Progress<'_>, switch| judge.plans_differ_by(progress, &differing, switch);
        let mut switches = self.find_switches(progress, differing.len(), &mut differs_by)?.into_iter();
        let (mut found, mut known) = (Vec::new(), BTreeSet::new());
        for asked in asked {
            let plan = asked.name.clone();
            if let Some((layers, of)) = figures(&asked.elsewhere) {
                let switch = switches.next().expect("BUG: a switch for each plan that differs");
                let is_new = known.insert((plan.clone(), "elsewhere"));
                found.extend(is_new.then(|| Inconsistency::PlansElsewhere { plan: plan.clone(), switch, layers, of }));
            }
            if let Some((layers, of)) = figures(&asked.among_others) {
                let is_new = known.insert((plan.clone(), "layers"));
                found.extend(is_new.then_some(Inconsistency::Layers { plan, layers, of }));
            }
        }
        Ok(found)
    }

    /// Whether these plans differ in a process that differs by one switch.
    fn plans_differ_by(
        &mut self,
        progress: &mut Progress<'_>,
        asked: &[&Asked<'_>],
        switch: Switch,
    ) -> Result<Vec<bool>, JudgeError> {
        // What a failure leaves unanswered differs.
        let mut differs = vec![true; asked.len()];
        let calls: Vec<&Rebalance> = asked.iter().map(|asked| asked.call).collect();
        let bytes = bytes_of_all(&calls);
        let mut kernels = Kernels::of(progress.program.text, &[])?;
        let has_both_policies = self.session.chain_windows.is_some();
        let tried = self.in_another_child(progress, &mut kernels, bytes, &[switch], |child, nursery, kernels| {
            warm_up((child, nursery, kernels), &calls, has_both_policies, &mut None)?;
            for (asked, differs) in asked.iter().zip(&mut differs) {
                let seed = asked.seeds[usize::from(switch == Switch::Seed)];
                *differs = asked.whole(child, seed)?.outputs.arrays[0] != asked.here;
            }
            Ok(())
        });
        match tried {
            Err(Halt::Broken(error)) => Err(error),
            _ => Ok(differs),
        }
    }
}

impl<'r> Asked<'r> {
    /// Not answered yet.
    pub fn new(call: &'r Rebalance, seeds: [u32; 2]) -> Self {
        let layers = vec![None; call.topology.layers];
        Self {
            call,
            name: call.name(),
            seeds,
            here: Vec::new(),
            there: None,
            elsewhere: layers.clone(),
            among_others: layers,
        }
    }

    /// The other child fails before it is asked: at a small first call, or while it compiles for this one.
    fn fails_before(&mut self, small: Option<Rebalance>) {
        if let Some(small) = small {
            self.name = small.name();
            self.elsewhere.resize(small.topology.layers, None);
        }
        self.elsewhere.fill(Some(true));
    }

    fn whole(&self, child: &mut Child, seed: u32) -> Result<Returned<Outputs<3>>, Halt> {
        self.ask(child, &(0..self.call.topology.layers).collect::<Vec<_>>(), seed)
    }

    /// Has a child plan some of the layers, in that order.
    fn ask(&self, child: &mut Child, layers: &[usize], seed: u32) -> Result<Returned<Outputs<3>>, Halt> {
        let call = self.call.of_layers(layers);
        ask(child, &call, &PlanInput::new(&call.loads, call.in_force.as_ref()), seed)
    }

    /// Whether layer `at` of one plan is planned differently from `layer` of another.
    fn differs(&self, [one, other]: [&[i64]; 2], [at, layer]: [usize; 2]) -> bool {
        let slots = self.call.topology.replicas;
        one[at * slots..][..slots] != other[layer * slots..][..slots]
    }
}

/// All of that many layers at once, in reversed order.
fn reversed(layers: usize) -> Vec<Vec<usize>> {
    vec![(0..layers).rev().collect()]
}

/// Halves of that many layers, in reversed order.
fn halves(layers: usize) -> Vec<Vec<usize>> {
    let reversed: Vec<usize> = (0..layers).rev().collect();
    reversed.chunks(layers.div_ceil(2)).map(<[usize]>::to_vec).collect()
}

/// Some of that many layers, each alone.
fn singles(layers: usize) -> Vec<Vec<usize>> {
    let singles = SINGLE_LAYERS.min(layers);
    (0..singles).map(|single| vec![(2 * single + 1) * layers / (2 * singles)]).collect()
}

fn bytes_of_all(calls: &[&Rebalance]) -> u64 {
    let small = SMALL.iter().map(|topology| (topology, Some(1)));
    bytes_of_plans(small.chain(calls.iter().map(|call| (&call.topology, call.history()))))
}

/// Where programs may run compilers, lets the child do so for these calls, of which there is one at least. Numba compiles for
/// the small first calls of the first child, whose indices are checked here. Then ends that. Meanwhile the small call is in
/// `under_way`.
fn warm_up(
    (child, nursery, kernels): (&mut Child, &mut Nursery, &mut Kernels),
    calls: &[&Rebalance],
    has_both_policies: bool,
    under_way: &mut Option<Rebalance>,
) -> Result<(), Halt> {
    let first = |child: &mut Child, call: &Rebalance| -> Result<(), Halt> {
        ask(child, call, &PlanInput::new(&call.loads, call.in_force.as_ref()), 0).map(drop)
    };
    if kernels.may_compile {
        let has_plans = calls.iter().any(|call| call.in_force.is_some());
        // In larger ones what is in force at first may keep no group together, and is not the start of a plan.
        for call in small_calls(calls[0].policy, has_plans, has_both_policies) {
            first(child, under_way.insert(call))?;
        }
        *under_way = None;
    }
    if child.may_compile() {
        for call in calls {
            let call = first_call(&call.topology, call.policy, call.in_force.is_some());
            (0..COMPILING_CALLS).try_for_each(|_| first(child, &call))?;
        }
    }
    child.finish_compiling(kernels)?;
    child.seal(nursery)
}

/// Asks another child for the plans of the first one.
fn ask_elsewhere(child: &mut Child, all: &mut [Asked<'_>]) -> Result<(), Halt> {
    let started = Instant::now();
    for (number, asked) in all.iter_mut().enumerate() {
        if number > 0 && started.elapsed() > CHECK {
            break;
        }
        // If the call fails, this stays.
        asked.elsewhere.fill(Some(true));
        let [answer, ..] = asked.whole(child, asked.seeds[1])?.outputs.arrays;
        let differs = |layer| Some(asked.differs([&asked.here, &answer], [layer; 2]));
        asked.elsewhere = (0..asked.call.topology.layers).map(differs).collect();
        asked.there = Some(answer);
    }
    Ok(())
}

/// Has a child plan `parts` of the layers, which were planned `there` together and in order.
fn ask_in_parts(child: &mut Child, all: &mut [Asked<'_>], parts: fn(usize) -> Vec<Vec<usize>>) -> Result<(), Halt> {
    let started = Instant::now();
    for (number, asked) in all.iter_mut().enumerate() {
        let Some(there) = asked.there.clone() else { continue };
        for layers in parts(asked.call.topology.layers) {
            if number > 0 && started.elapsed() > CHECK {
                return Ok(());
            }
            let answer = asked.ask(child, &layers, asked.seeds[1]);
            for (at, &layer) in layers.iter().enumerate() {
                let differs =
                    |returned: &Returned<Outputs<3>>| asked.differs([&returned.outputs.arrays[0], &there], [at, layer]);
                let differs = answer.as_ref().map_or(true, differs);
                asked.among_others[layer] = Some(asked.among_others[layer] == Some(true) || differs);
            }
            answer?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_asked_in_reversed_halves_and_a_few_of_them_alone() {
        assert_eq!(halves(9), [vec![8, 7, 6, 5, 4], vec![3, 2, 1, 0]]);
        assert_eq!((halves(1), reversed(2)), (vec![vec![0]], vec![vec![1, 0]]));
        assert_eq!(singles(9), [[1], [3], [5], [7]]);
        assert_eq!(singles(1), [[0]]);
    }
}
