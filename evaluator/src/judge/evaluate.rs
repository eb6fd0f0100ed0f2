//! Judge: carries out an evaluation. Forks a child, gives it call after call, verifies, scores and times every answer,
//! and ends the child, however it went.
//!
//! Invariants: every scored call is timed and every timed call is scored; of a child nothing is believed but the
//! placements that it returns; a candidate's failure is a [`Rejection`], a [`JudgeError`] means that we broke.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::{
    Calibration, CaseMeasurement, Evaluation, GpuTimes, Measurement, Sample, ToldTime, Voided,
};
use packevolve_contract::objective::score_at_best;
use packevolve_contract::protocol::{
    EvaluateRequest, Limits, Ready, Session, Threshold, TimeLimits, VERSION, WindowSet,
};
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::stream::{Purpose, Stream, stream};
use rand::RngExt;
use thiserror::Error;

use crate::child::{Call, Child, Failure, Guest};
use crate::nursery::{Nursery, NurseryError};
use crate::process;
use crate::reference::ReferenceError;
use crate::sandbox::Jail;
use crate::schedule::Schedule;
use crate::score::CaseInput;
use crate::shared::Outputs;
use crate::slot::{Pair, Slot, SlotError, Standing, Yardstick, check};
use crate::tensor;
use crate::window::LoadsError;
use crate::workload::{Pool, Wanted};

/// The weight of an item by its place.
type Weight = fn(usize) -> f32;

/// Shapes where packers go wrong: name, rows, items, packs, weights. Called before the cases; verified, not scored,
/// because every valid packing of them says little. The very first call pays for what a fresh process sets up.
const AWKWARD: [(&str, usize, usize, usize, Weight); 6] = [
    ("three items a pack", 3, 12, 4, |at| (at * 7 % 11) as f32),
    ("one item a pack", 2, 4, 4, |at| at as f32),
    ("two items a pack", 3, 8, 4, |at| (at * 5 % 7) as f32),
    ("one row of equal weights", 1, 12, 3, |_| 1.0),
    ("no load at all", 2, 12, 3, |_| 0.0),
    ("one giant", 2, 12, 3, |at| if at % 12 == 5 { 1e9 } else { 1.0 }),
];

/// Calls of a case in which a program may still compile: the first may be traced, the second compiled.
const COMPILING_CALLS: u64 = 3;

/// Our own machinery broke, or a request cannot be carried out; says nothing about a candidate.
#[derive(Debug, Error)]
pub enum JudgeError {
    #[error(transparent)]
    Nursery(#[from] NurseryError),
    #[error(transparent)]
    Loads(#[from] LoadsError),
    #[error("device {device} is not there: {offered}")]
    Device { device: String, offered: String },
    #[error("the harness speaks version {theirs} of the protocol, this judge version {VERSION}\nhint: build both anew")]
    Version { theirs: u32 },
    #[error("no python to run candidates with\nhint: set `python` in config.yaml")]
    NoPython,
    #[error("the reference program fails: it {0}")]
    Reference(Rejection),
    #[error("cannot pin to cpu {cpu}")]
    Pin { cpu: usize, source: io::Error },
    #[error("cannot lock device {device}")]
    Lock { device: String, source: io::Error },
}

/// A judge for one session.
pub struct Judge {
    pub(super) session: Session,
    pub(super) python: PathBuf,
    pub(super) device_name: String,
    pub(super) jail: Jail,
    pub(super) nursery: Nursery,
    pub(super) slot: Slot,
    pub(super) pool: Pool,
    /// By window and case; made when first needed.
    pub(super) inputs: Vec<Vec<Option<CaseInput>>>,
}

impl From<SlotError> for JudgeError {
    fn from(error: SlotError) -> Self {
        match error {
            SlotError::Nursery(error) | SlotError::Reference(ReferenceError::Nursery(error)) => Self::Nursery(error),
            SlotError::Reference(ReferenceError::Fails(rejection)) => Self::Reference(rejection),
            SlotError::Lock { device, source } => Self::Lock { device, source },
        }
    }
}

/// How far an evaluation came that no failure ended.
enum Ended {
    Fully,
    Outclassed { at_best: f64 },
}

/// Outcome of a part of an evaluation: we may break, and if not, the candidate may fail.
pub(super) type Stage<T> = Result<Result<T, Failure>, JudgeError>;

/// A call with its input and answer.
pub(super) struct Answered {
    pub case: usize,
    pub window: usize,
    pub call: Call,
    pub weights: Vec<f32>,
    pub outputs: Outputs,
}

/// An evaluation under way.
pub(super) struct Course {
    /// Those of the cases that were begun, by the [`Schedule`], then one for each policy of rebalancing, stopped between
    /// their calls. No child sees the same loads twice.
    pub(super) children: Vec<Child>,
    pub(super) schedule: Schedule,
    /// The child that was called last.
    pub(super) called: usize,
    pub(super) measurement: Measurement,
    /// What the first child answered to the first small call.
    pub(super) first_outputs: Option<Outputs>,
    /// The last call of the case that is repeated.
    pub(super) answered: Option<Answered>,
    /// What the child is doing, for the evidence.
    pub(super) during: String,
    pub(super) limits: TimeLimits,
    pub(super) yardstick: Yardstick,
    pub(super) order: Stream,
    pub(super) seeds: Stream,
    /// Key of the streams of calls that are made again.
    pub(super) repeats: u64,
    /// The program as the first child compiled it, before any code of it ran.
    pub(super) code: Option<String>,
}

impl Judge {
    /// Pins itself, reads or makes up the loads, starts the nursery and the reference program.
    ///
    /// # Errors
    /// Anything that keeps it from judging: no such device, no torch, loads that cannot be read.
    pub fn open(session: Session) -> Result<Self, JudgeError> {
        if session.version != VERSION {
            return Err(JudgeError::Version { theirs: session.version });
        }
        // Times are of one CPU: if none was chosen, of that which the kernel has chosen.
        if let Some(cpu) = session.cpu.or_else(process::current_cpu) {
            process::pin_to(cpu).map_err(|source| JudgeError::Pin { cpu, source })?;
        }
        tensor::set_single_thread();
        // Who asks what this machine offers has no cases, and may want to know of the loads.
        let cases = session.cases.len().max(1);
        let wanted = Wanted { search: session.windows, held_out: session.held_out, cases };
        let pool = Pool::open(&session.loads, &session.topology, wanted, session.rng_seed)?;
        let python = match &session.python {
            Some(python) => python.clone(),
            None => default_python().ok_or(JudgeError::NoPython)?,
        };
        let mut jail = Jail::new(session.sandbox);
        if session.allow_compile {
            jail = jail.with_compilers();
        }
        let (nursery, slot, device_name) = loop {
            match start(&python, &jail, &session) {
                Err(JudgeError::Nursery(NurseryError::Unavailable { step, reason }))
                    if jail.leave_out(&step, &reason) => {}
                started => break started?,
            }
        };
        let inputs = vec![vec![None; session.cases.len()]; pool.held_out().end];
        Ok(Self { python, device_name, jail, nursery, slot, pool, inputs, session })
    }

    /// What the measurements are taken with.
    pub fn ready(&self) -> Ready {
        Ready {
            version: VERSION,
            device: self.slot.device().to_owned(),
            device_name: self.device_name.clone(),
            python: self.nursery.hello.python.clone(),
            torch: self.nursery.hello.torch.clone(),
            torch_threads: self.slot.torch_threads(),
            windows: self.pool.len(),
            real_windows: self.pool.real(),
            held_out_windows: self.pool.held_out().len(),
            loads_digest: self.pool.digest().to_owned(),
            jail: self.jail.steps().to_vec(),
        }
    }

    /// Judges one program.
    ///
    /// # Errors
    /// When our own machinery broke twice in a row; the nursery is replaced once.
    pub fn evaluate(&mut self, request: &EvaluateRequest) -> Result<Evaluation, JudgeError> {
        match self.evaluate_once(request) {
            Err(error @ (JudgeError::Nursery(_) | JudgeError::Reference(_))) => {
                tracing::warn!(%error, candidate = request.candidate, "replacing the nursery");
                self.replace_nursery()?;
                self.evaluate_once(request)
            }
            other => other,
        }
    }

    fn replace_nursery(&mut self) -> Result<(), JudgeError> {
        (self.nursery, self.slot, self.device_name) = start(&self.python, &self.jail, &self.session)?;
        Ok(())
    }

    fn evaluate_once(&mut self, request: &EvaluateRequest) -> Result<Evaluation, JudgeError> {
        let started = Instant::now();
        let calibration = Calibration { before: self.slot.calibrate()?, ..Calibration::default() };
        let mut course = self.start(request, calibration);
        let outcome = match self.run(&mut course, request, started)? {
            Ok(Ended::Fully) => self.after_the_cases(&mut course, request)?.map(|()| Ended::Fully),
            other => other,
        };
        let Course { children, called, mut measurement, during, .. } = course;
        let peaks = children.iter().map(Child::peak_memory).chain([measurement.peak_memory_bytes]);
        measurement.peak_memory_bytes = peaks.max().unwrap_or(0);
        let (failure, ended) = match outcome {
            Ok(ended) => (None, Some(ended)),
            Err(failure) => (Some(failure), None),
        };
        let (rejection, traceback) = failure.map_or((None, String::new()), |f| (Some(f.rejection), f.traceback));
        let mut last = (String::new(), Evidence::default());
        for (number, child) in children.into_iter().enumerate() {
            let ended = child.end(&mut self.nursery, &during, traceback.clone())?;
            if number == called {
                last = ended;
            }
        }
        let (status, evidence) = last;
        if rejection.is_none() {
            measurement.calibration.after = self.slot.calibrate()?;
        }
        measurement.evaluation_seconds = started.elapsed().as_secs_f64();
        Ok(match (rejection, ended) {
            (Some(rejection), _) => rejected(rejection, evidence, status),
            (None, Some(Ended::Outclassed { at_best })) => Evaluation::Outclassed { measurement, at_best },
            (None, _) => Evaluation::Measured { measurement },
        })
    }

    fn start(&self, request: &EvaluateRequest, calibration: Calibration) -> Course {
        let key = |purpose| stream(self.session.rng_seed, request.candidate, purpose);
        let (order, seeds) = match request.windows {
            WindowSet::Search => (Purpose::Permutation, Purpose::CallSeed),
            WindowSet::HeldOut => (Purpose::HeldOutPermutation, Purpose::HeldOutCallSeed),
        };
        let cases = &self.session.cases;
        let empty = |case: &Case| CaseMeasurement { case: case.to_string(), samples: Vec::new() };
        let on_gpu = self.slot.device() != "cpu";
        Course {
            children: Vec::new(),
            schedule: self.schedule(request.windows),
            called: 0,
            first_outputs: None,
            answered: None,
            during: "loading".to_owned(),
            limits: request.limits.unwrap_or_else(|| self.session.limits.times(None)),
            yardstick: Yardstick::new(&calibration.before),
            measurement: Measurement {
                cases: cases.iter().map(empty).collect(),
                gpu: on_gpu.then(|| GpuTimes { context_seconds: Vec::new(), told: Vec::new() }),
                calibration,
                ..Measurement::default()
            },
            order: key(order),
            seeds: key(seeds),
            repeats: key(Purpose::Repeat).random(),
            code: None,
        }
    }

    /// Ends the child of a case and begins another one, which has seen no loads yet. In this order, so that the one cannot
    /// tell the other what it has seen.
    fn renew_child(&mut self, course: &mut Course, request: &EvaluateRequest, case: usize) -> Stage<()> {
        let place = course.schedule.child(case);
        let earlier = course.children.remove(place);
        course.measurement.peak_memory_bytes = course.measurement.peak_memory_bytes.max(earlier.peak_memory());
        earlier.end(&mut self.nursery, "", String::new())?;
        let begun = self.begin_child(course, request, case)?;
        let child = course.children.pop().expect("BUG: a child that was begun is the last");
        course.children.insert(place, child);
        course.called = place;
        Ok(begun)
    }

    /// Forks a child for a case and those that share it, loads the program in it, and warms it up; all awkward shapes
    /// are tried in the first one alone.
    fn begin_child(&mut self, course: &mut Course, request: &EvaluateRequest, case: usize) -> Stage<()> {
        let largest = AWKWARD.iter().map(|(_, rows, items, ..)| rows * items).max().unwrap_or(0);
        let cases = &self.session.cases[course.schedule.cases_with(case)];
        let items = cases.iter().map(|case| case.rows * case.items).fold(largest, usize::max);
        let call_seconds = Some(course.limits.call_seconds);
        let limits = Limits { call_seconds, ..self.session.limits.clone() };
        let device = self.slot.device();
        let mut child = Child::fork(&mut self.nursery, &request.program, items, &limits, device)?;
        let prepared = child.prepare(device)?;
        if let Some(gpu) = &mut course.measurement.gpu {
            gpu.context_seconds.push(prepared.as_secs_f64());
        }
        let place = course.children.len();
        course.children.push(child);
        course.called = place;
        "loading".clone_into(&mut course.during);
        if let Err(failure) = course.children[place].load(&request.file_name, &mut course.code)? {
            return Ok(Err(failure));
        }
        let tried = if course.first_outputs.is_none() { AWKWARD.len() } else { 1 };
        // Nobody has to wait for a program that hangs here as long as for one that has something to do.
        course.children[place].limit_calls(course.limits.call_seconds.min(TimeLimits::LEAST.call_seconds));
        if let Err(failure) = awkward_calls(course, tried)? {
            return Ok(Err(failure));
        }
        course.children[place].limit_calls(course.limits.call_seconds);
        if let Err(failure) = self.warm_up(course, course.schedule.cases_with(case))? {
            return Ok(Err(failure));
        }
        course.children[place].pause();
        Ok(Ok(()))
    }

    /// Has the child called last make a first call as large as there will be, on weights that are in no window, so that
    /// no timed one pays for what the first one sets up. One that may compile does so now for each of its cases, and
    /// then no more.
    fn warm_up(&mut self, course: &mut Course, cases: Range<usize>) -> Stage<()> {
        let cases = &self.session.cases[cases];
        if !course.children[course.called].may_compile() {
            let largest = cases.iter().max_by_key(|case| case.rows * case.items);
            return Ok(largest.map_or(Ok(Ok(())), |case| untimed_calls(course, case, 1))?);
        }
        for case in cases {
            if let Err(failure) = untimed_calls(course, case, COMPILING_CALLS)? {
                return Ok(Err(failure));
            }
        }
        Ok(course.children[course.called].seal(&mut self.nursery)?)
    }

    fn run(&mut self, course: &mut Course, request: &EvaluateRequest, started: Instant) -> Stage<Ended> {
        let budget = request.budget_seconds.unwrap_or(f64::INFINITY);
        for round in course.schedule.rounds() {
            // What was charged is what counts: a program that sleeps does not buy itself fewer windows.
            if round > 0 && course.charged_seconds() > budget {
                break;
            }
            for case in 0..self.session.cases.len() {
                // A program that waits for something is charged nothing for it.
                let limit_seconds = course.limits.evaluation_seconds;
                if started.elapsed().as_secs_f64() > limit_seconds {
                    return Ok(Err(Rejection::Hang { limit_seconds }.into()));
                }
                if course.schedule.child(case) == course.children.len()
                    && let Err(failure) = self.begin_child(course, request, case)?
                {
                    return Ok(Err(failure));
                }
                let sample = match self.sample(course, request, case, course.schedule.window(case, round))? {
                    Ok(sample) => sample,
                    Err(failure) => return Ok(Err(failure)),
                };
                course.measurement.cases[case].samples.push(sample);
                if let Some(at_best) = outclassed(&course.measurement, request.outclassed.as_ref()) {
                    return Ok(Ok(Ended::Outclassed { at_best }));
                }
            }
        }
        Ok(Ok(Ended::Fully))
    }

    /// What a program that was measured on every case is asked beyond its scores.
    fn after_the_cases(&mut self, course: &mut Course, request: &EvaluateRequest) -> Stage<()> {
        match self.repeat(course)? {
            Ok(()) if request.rebalance => self.rebalance(course, request),
            repeated => Ok(repeated),
        }
    }

    fn schedule(&self, set: WindowSet) -> Schedule {
        let (windows, rounds) = match set {
            WindowSet::Search => (0..self.pool.len(), self.pool.search_rounds()),
            WindowSet::HeldOut => (self.pool.held_out(), self.pool.held_out_rounds()),
        };
        Schedule::new(windows, rounds, self.session.cases.len())
    }

    /// A sample of a case on a window. A void pair is made again, by another child: this one has seen the window, and an
    /// order of its own is not enough to make the loads new to it.
    fn sample(&mut self, course: &mut Course, request: &EvaluateRequest, case: usize, window: usize) -> Stage<Sample> {
        for attempt in 0.. {
            let sample = match self.attempt(course, case, window, attempt)? {
                Ok(sample) => sample,
                Err(failure) => return Ok(Err(failure)),
            };
            let calibration = &mut course.measurement.calibration;
            match course.yardstick.judge(sample.reference_seconds) {
                Standing::Counts => return Ok(Ok(sample)),
                Standing::CountsAnyway => {
                    calibration.cap_reached = true;
                    return Ok(Ok(sample));
                }
                Standing::Void => {
                    let name = course.measurement.cases[case].case.clone();
                    calibration.voided.push(Voided { case: name, sample });
                    if let Err(failure) = self.renew_child(course, request, case)? {
                        return Ok(Err(failure));
                    }
                }
            }
        }
        unreachable!("BUG: voids are capped")
    }

    /// One call of a case on a window: made, verified, scored, and timed beside the reference. A later attempt has an
    /// order and a seed of its own, so that no two calls are alike.
    fn attempt(&mut self, course: &mut Course, case: usize, window: usize, attempt: u32) -> Stage<Sample> {
        let (rows, items, packs) = {
            let case = &self.session.cases[case];
            course.during = format!("{case}, window {window}");
            (case.rows, case.items, case.packs)
        };
        let (input, seed) = course.draw(self.input(case, window), case, window, attempt);
        let weights = input.rows().to_f32();
        let call = Call { rows, items, packs, seed: seed.into() };
        course.called = course.schedule.child(case);
        let child = &mut course.children[course.called];
        let Pair { returned, reference_seconds } = match self.slot.pair(child, call, &weights)? {
            Ok(pair) => pair,
            Err(failure) => return Ok(Err(failure)),
        };
        if let Err(failure) = check(&returned, &weights, call) {
            return Ok(Err(failure));
        }
        if let (Some(gpu), Some(seconds)) = (&mut course.measurement.gpu, returned.told_seconds) {
            gpu.told.push(ToldTime { case: course.measurement.cases[case].case.clone(), window, seconds });
        }
        let score = input.score(&returned.outputs.pack_index);
        let next = input.next_loads(&returned.outputs.pack_index);
        let (seconds, wall_seconds) = (returned.time.as_secs_f64(), returned.wall.as_secs_f64());
        if case == self.repeated_case() {
            course.answered = Some(Answered { case, window, call, weights, outputs: returned.outputs });
        }
        Ok(Ok(Sample {
            window,
            mean_load: score.mean_load,
            max_load: score.max_load,
            bound: score.bound,
            worst_row_gap: score.worst_row_gap,
            next,
            seconds,
            wall_seconds,
            reference_seconds,
        }))
    }

    fn input(&mut self, case: usize, window: usize) -> &CaseInput {
        let Self { pool, session, inputs, .. } = self;
        inputs[window][case].get_or_insert_with(|| {
            let (now, next) = (pool.window(window), pool.after(window));
            CaseInput::of_case(&session.cases[case], &session.topology, now, next, window, session.rng_seed)
        })
    }
}

impl Course {
    /// Time that the candidate was charged so far, seconds; voids cost time as well.
    fn charged_seconds(&self) -> f64 {
        let scored = self.measurement.cases.iter().flat_map(|case| &case.samples);
        let voided = self.measurement.calibration.voided.iter().map(|voided| &voided.sample);
        scored.chain(voided).map(|sample| sample.seconds).sum()
    }

    /// The order of rows and items of a call, and its seed.
    fn draw(&mut self, input: &CaseInput, case: usize, window: usize, attempt: u32) -> (CaseInput, u32) {
        if attempt == 0 {
            return (input.permuted(&mut self.order), self.seeds.random());
        }
        let number = (window as u64) << 32 | (case as u64) << 16 | u64::from(attempt);
        let mut again = stream(self.repeats, number, Purpose::Repeat);
        (input.permuted(&mut again), again.random())
    }
}

/// The first stage: is it correct where it is easy to be wrong? The first `count` shapes, in the child called last.
fn awkward_calls(course: &mut Course, count: usize) -> Guest<()> {
    for (number, (name, rows, items, packs, weight)) in AWKWARD.into_iter().take(count).enumerate() {
        course.during = format!("a small call, {name}: {items}->{packs}");
        let call = Call { rows, items, packs, seed: 0 };
        let weights: Vec<f32> = (0..rows * items).map(weight).collect();
        let returned = match course.children[course.called].call(call, &weights)? {
            Ok(returned) => returned,
            Err(failure) => return Ok(Err(failure)),
        };
        course.measurement.trial_seconds += returned.time.as_secs_f64();
        if course.first_outputs.is_none() {
            course.measurement.first_call_seconds = returned.time.as_secs_f64();
            course.measurement.first_call_wall_seconds = returned.wall.as_secs_f64();
        }
        if let Err(failure) = check(&returned, &weights, call) {
            return Ok(Err(failure));
        }
        if number == 0 {
            course.compare_first(returned.outputs);
        }
    }
    Ok(Ok(()))
}

/// Calls of a case that the child called last is to be ready for.
fn untimed_calls(course: &mut Course, case: &Case, count: u64) -> Guest<()> {
    let &Case { rows, items, packs, .. } = case;
    course.during = format!("a first call of {case}");
    for seed in 0..count {
        let call = Call { rows, items, packs, seed };
        let weights: Vec<f32> = (0..rows * items).map(|at| ((at * 7919 + seed as usize) % 1009) as f32).collect();
        let returned = match course.children[course.called].call(call, &weights)? {
            Ok(returned) => returned,
            Err(failure) => return Ok(Err(failure)),
        };
        course.measurement.trial_seconds += returned.time.as_secs_f64();
        if let Err(failure) = check(&returned, &weights, call) {
            return Ok(Err(failure));
        }
    }
    Ok(Ok(()))
}

fn outclassed(measurement: &Measurement, threshold: Option<&Threshold>) -> Option<f64> {
    let threshold = threshold?;
    score_at_best(measurement, &threshold.baseline, threshold.weights).filter(|at_best| *at_best < threshold.score)
}

fn rejected(rejection: Rejection, evidence: Evidence, status: String) -> Evaluation {
    let rejection = match rejection {
        Rejection::Crash { .. } => Rejection::Crash { status },
        other => other,
    };
    Evaluation::Rejected { rejection, evidence }
}

/// Starts a nursery and, in the same jail as every child to come, the reference program; on which device they are.
fn start(python: &Path, jail: &Jail, session: &Session) -> Result<(Nursery, Slot, String), JudgeError> {
    let mut nursery = Nursery::start(python, jail)?;
    let (device, device_name) = choose_device(&session.device, &nursery.hello.cuda)?;
    let slot = Slot::open(&mut nursery, &session.limits, &device)?;
    Ok((nursery, slot, device_name))
}

/// The interpreter that this judge was built with, if it is still there.
fn default_python() -> Option<PathBuf> {
    let python = PathBuf::from(env!("PACKEVOLVE_PYTHON"));
    python.exists().then_some(python)
}

/// `auto` is the first GPU if there is one.
fn choose_device(wanted: &str, gpus: &[String]) -> Result<(String, String), JudgeError> {
    let number = match wanted {
        "cpu" => None,
        "auto" => (!gpus.is_empty()).then_some(0),
        _ => Some(wanted.strip_prefix("cuda:").and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)),
    };
    let Some(number) = number else { return Ok(("cpu".to_owned(), process::cpu_name())) };
    match gpus.get(number) {
        Some(name) => Ok((format!("cuda:{number}"), name.clone())),
        None => Err(JudgeError::Device { device: wanted.to_owned(), offered: offered(gpus) }),
    }
}

fn offered(gpus: &[String]) -> String {
    let named = gpus.iter().enumerate().map(|(number, name)| format!(", cuda:{number} ({name})"));
    format!("there is cpu{}", named.collect::<String>())
}

#[cfg(test)]
mod tests {
    use packevolve_contract::case::cases;
    use packevolve_contract::loads::Loads;
    use packevolve_contract::protocol::Sandbox;
    use packevolve_contract::topology::Topology;

    use super::*;
    use crate::slot::MOST_VOIDS;

    const HONEST: &str = include_str!("../../../tests/testdata/fates/measured/honest.py");

    fn small_judge() -> Judge {
        let topology = Topology { layers: 4, experts: 16, groups: 4, nodes: 2, gpus: 4, replicas: 16 };
        Judge::open(Session {
            version: VERSION,
            device: "cpu".to_owned(),
            cpu: None,
            python: None,
            cases: cases(&topology, &[], 0, 1).unwrap(),
            topology,
            loads: Loads::MadeUp { rng_seed: 1 },
            windows: Some(3),
            held_out: 0,
            rng_seed: 1,
            limits: Limits {
                call_seconds: None,
                evaluation_seconds: None,
                load_seconds: 30.0,
                compile_seconds: 60.0,
                memory_bytes: 128 << 20,
                output_bytes: 1 << 20,
                threads: 16,
                scratch_bytes: 1 << 20,
                scratch_files: 10,
            },
            sandbox: Sandbox::BestEffort,
            allow_compile: false,
        })
        .unwrap()
    }

    fn request() -> EvaluateRequest {
        EvaluateRequest {
            candidate: 3,
            file_name: "eplb.py".to_owned(),
            program: HONEST.to_owned(),
            windows: WindowSet::Search,
            budget_seconds: None,
            limits: None,
            outclassed: None,
            rebalance: false,
        }
    }

    /// Refuses to be called on loads that it has seen before.
    const RECOGNISES: &str = include_str!("../../../tests/testdata/fates/measured/raises_at_loads_seen_before.py");

    /// An evaluation in which the reference program takes twice its time, so many times from the first pair on.
    fn beside_a_slowed_reference(judge: &mut Judge, times: usize) -> Measurement {
        let calibration = Calibration { before: judge.slot.calibrate().unwrap(), ..Calibration::default() };
        let request = EvaluateRequest { program: RECOGNISES.to_owned(), ..request() };
        let mut course = judge.start(&request, calibration);
        judge.slot.slow_reference(times);
        let run = judge.run(&mut course, &request, Instant::now()).unwrap();
        assert!(run.is_ok(), "a child was given loads that it had seen: {:?}", run.err());
        judge.slot.slow_reference(0);
        for child in course.children {
            child.end(&mut judge.nursery, "", String::new()).unwrap();
        }
        course.measurement
    }

    #[test]
    fn a_pair_beside_a_slowed_reference_is_void_and_made_again_until_there_were_too_many() {
        let mut judge = small_judge();
        let measured = beside_a_slowed_reference(&mut judge, 3);
        let calibrated = packevolve_contract::statistic::median(measured.calibration.before.iter().copied());
        let first: Vec<&Voided> = measured.calibration.voided.iter().take(3).collect();
        assert_eq!(first.len(), 3);
        for voided in first {
            assert_eq!((voided.case.as_str(), voided.sample.window), (measured.cases[0].case.as_str(), 0));
            assert!(voided.sample.reference_seconds > 1.2 * calibrated && voided.sample.seconds > 0.0);
        }
        // What is made again is the same window in another order: its loads are the same but for rounding.
        let (void, made_again) = (&measured.calibration.voided[0].sample, &measured.cases[0].samples[0]);
        assert!((void.bound / made_again.bound - 1.0).abs() < 1e-12);
        assert!(measured.cases.iter().all(|case| case.samples.len() == 3), "every window counts once");

        let measured = beside_a_slowed_reference(&mut judge, usize::MAX);
        assert!(measured.calibration.cap_reached);
        assert_eq!(measured.calibration.voided.len(), MOST_VOIDS);
        assert!(measured.cases.iter().all(|case| case.samples.len() == 3), "{measured:?}");
    }

    #[test]
    fn a_call_that_is_made_again_has_an_order_of_its_own_and_changes_no_other() {
        let mut judge = small_judge();
        let input = judge.input(1, 0).clone();
        let mut course = judge.start(&request(), Calibration::default());
        let (first, _) = course.draw(&input, 1, 0, 0);
        let second = course.draw(&input, 1, 1, 0);
        let mut course = judge.start(&request(), Calibration::default());
        assert_eq!(course.draw(&input, 1, 0, 0).0, first);
        let again = [1, 2].map(|attempt| course.draw(&input, 1, 0, attempt));
        assert_ne!(again[0], again[1]);
        assert_ne!(again[0].0, first);
        assert_eq!(course.draw(&input, 1, 0, 1), again[0]);
        assert_eq!(course.draw(&input, 1, 1, 0), second);
    }

    #[test]
    fn auto_prefers_a_gpu_and_a_missing_one_is_named() {
        let gpus = ["H200".to_owned()];
        assert_eq!(choose_device("auto", &gpus).unwrap().0, "cuda:0");
        assert_eq!(choose_device("auto", &[]).unwrap().0, "cpu");
        let error = choose_device("cuda:1", &gpus).unwrap_err();
        assert_eq!(error.to_string(), "device cuda:1 is not there: there is cpu, cuda:0 (H200)");
        assert!(choose_device("gpu", &gpus).is_err());
    }
}
