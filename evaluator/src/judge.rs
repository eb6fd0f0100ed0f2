//! Judge: carries out an evaluation. Forks a child, gives it call after call, verifies, scores and times every answer,
//! and ends the child, however it went.
//!
//! Invariants: every scored call is timed and every timed call is scored; of a child nothing is believed but the
//! placements that it returns; a candidate's failure is a [`Rejection`], a [`JudgeError`] means that we broke.

mod rebalance;
mod repeat;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::{CaseMeasurement, Evaluation, Measurement, Sample};
use packevolve_contract::objective::score_at_best;
use packevolve_contract::protocol::{EvaluateRequest, Ready, Session, Threshold, VERSION, WindowSet};
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::stream::{Purpose, Stream, stream};
use rand::RngExt;
use thiserror::Error;

use self::repeat::Answered;
use crate::child::{Call, Child, Failure, Guest};
use crate::nursery::{Nursery, NurseryError};
use crate::process;
use crate::reference::ReferenceError;
use crate::sandbox::Jail;
use crate::score::CaseInput;
use crate::shared::Outputs;
use crate::slot::{Pair, Slot, SlotError, check};
use crate::tensor;
use crate::window::LoadsError;
use crate::workload::Pool;

/// The weight of an item by its place.
type Weight = fn(usize) -> f32;

/// An evaluation may take this many times its budget of charged time in wall time; beyond, the program waits for
/// something.
const SLOWEST: f64 = 20.0;
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

/// Our own machinery broke, or a request cannot be carried out; says nothing about a candidate.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
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
    session: Session,
    python: PathBuf,
    device_name: String,
    jail: Jail,
    nursery: Nursery,
    slot: Slot,
    pool: Pool,
    /// By window and case; made when first needed.
    inputs: Vec<Vec<Option<CaseInput>>>,
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
type Stage<T> = Result<Result<T, Failure>, JudgeError>;

/// An evaluation under way.
struct Course {
    /// One for each case that was begun, then one for each policy of rebalancing, stopped between their calls. A case has a child of its own because all cases of
    /// a window are made from the same loads: a child that saw two of them could solve the one while it is timed on
    /// the other. So no child sees the same loads twice.
    children: Vec<Child>,
    /// The child that was called last.
    called: usize,
    measurement: Measurement,
    /// What the first child answered to the first small call.
    first_outputs: Option<Outputs>,
    /// The last call of the case that is repeated.
    answered: Option<Answered>,
    /// What the child is doing, for the evidence.
    during: String,
    order: Stream,
    seeds: Stream,
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
        if let Some(cpu) = session.cpu {
            process::pin_to(cpu).map_err(|source| JudgeError::Pin { cpu, source })?;
        }
        tensor::set_single_thread();
        let pool = Pool::open(&session.loads, &session.topology, session.windows, session.held_out, session.rng_seed)?;
        let python = match &session.python {
            Some(python) => python.clone(),
            None => default_python().ok_or(JudgeError::NoPython)?,
        };
        let mut jail = Jail::new(session.sandbox);
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
        let mut course = self.start(request);
        let outcome = match self.run(&mut course, request, started)? {
            Ok(Ended::Fully) => self.after_the_cases(&mut course, request)?.map(|()| Ended::Fully),
            other => other,
        };
        let Course { children, called, mut measurement, during, .. } = course;
        measurement.peak_memory_bytes = children.iter().map(Child::peak_memory).max().unwrap_or(0);
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
        measurement.evaluation_seconds = started.elapsed().as_secs_f64();
        Ok(match (rejection, ended) {
            (Some(rejection), _) => rejected(rejection, evidence, status),
            (None, Some(Ended::Outclassed { at_best })) => Evaluation::Outclassed { measurement, at_best },
            (None, _) => Evaluation::Measured { measurement },
        })
    }

    fn start(&self, request: &EvaluateRequest) -> Course {
        let key = |purpose| stream(self.session.rng_seed, request.candidate, purpose);
        let (order, seeds) = match request.windows {
            WindowSet::Search => (Purpose::Permutation, Purpose::CallSeed),
            WindowSet::HeldOut => (Purpose::HeldOutPermutation, Purpose::HeldOutCallSeed),
        };
        let cases = &self.session.cases;
        let empty = |case: &Case| CaseMeasurement { case: case.to_string(), samples: Vec::new() };
        Course {
            children: Vec::new(),
            called: 0,
            measurement: Measurement { cases: cases.iter().map(empty).collect(), ..Measurement::default() },
            first_outputs: None,
            answered: None,
            during: "loading".to_owned(),
            order: key(order),
            seeds: key(seeds),
        }
    }

    /// Forks the child of the next case, loads the program in it, and warms it up; all awkward shapes are tried in the
    /// first one alone.
    fn begin_case(&mut self, course: &mut Course, request: &EvaluateRequest) -> Stage<()> {
        let case = course.children.len();
        let largest = AWKWARD.iter().map(|(_, rows, items, ..)| rows * items).max().unwrap_or(0);
        let items = self.session.cases[case].rows * self.session.cases[case].items;
        let limits = &self.session.limits;
        let child = Child::fork(&mut self.nursery, &request.program, items.max(largest), limits, self.slot.device())?;
        course.children.push(child);
        course.called = case;
        "loading".clone_into(&mut course.during);
        if let Err(failure) = course.children[case].load(&request.file_name, self.slot.device())? {
            return Ok(Err(failure));
        }
        let tried = if case == 0 { AWKWARD.len() } else { 1 };
        if let Err(failure) = awkward_calls(course, tried)? {
            return Ok(Err(failure));
        }
        course.children[case].pause();
        Ok(Ok(()))
    }

    fn run(&mut self, course: &mut Course, request: &EvaluateRequest, started: Instant) -> Stage<Ended> {
        let budget = request.budget_seconds.unwrap_or(f64::INFINITY);
        let windows = self.windows(request.windows);
        for window in windows.clone() {
            // What was charged is what counts: a program that sleeps does not buy itself fewer windows.
            if window > windows.start && course.charged_seconds() > budget {
                break;
            }
            for case in 0..self.session.cases.len() {
                if started.elapsed().as_secs_f64() > SLOWEST * budget {
                    let rejection = Rejection::Hang { limit_seconds: SLOWEST * budget };
                    return Ok(Err(rejection.into()));
                }
                if case == course.children.len()
                    && let Err(failure) = self.begin_case(course, request)?
                {
                    return Ok(Err(failure));
                }
                let sample = match self.sample(course, case, window)? {
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

    fn windows(&self, set: WindowSet) -> Range<usize> {
        match set {
            WindowSet::Search => 0..self.pool.len(),
            WindowSet::HeldOut => self.pool.held_out(),
        }
    }

    /// One call of a case on a window: made, verified, scored, and timed beside the reference.
    fn sample(&mut self, course: &mut Course, case: usize, window: usize) -> Stage<Sample> {
        let (rows, items, packs) = {
            let case = &self.session.cases[case];
            course.during = format!("{case}, window {window}");
            (case.rows, case.items, case.packs)
        };
        let input = self.input(case, window).permuted(&mut course.order);
        let weights = input.rows().to_f32();
        let call = Call { rows, items, packs, seed: course.seeds.random::<u32>().into() };
        course.called = case;
        let Pair { returned, reference_seconds } = match self.slot.pair(&mut course.children[case], call, &weights)? {
            Ok(pair) => pair,
            Err(failure) => return Ok(Err(failure)),
        };
        if let Err(failure) = check(&returned, &weights, call) {
            return Ok(Err(failure));
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
    /// Time that the candidate was charged so far, seconds.
    fn charged_seconds(&self) -> f64 {
        self.measurement.cases.iter().flat_map(|case| &case.samples).map(|sample| sample.seconds).sum()
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
        if number == 0 && course.called == 0 {
            course.measurement.first_call_seconds = returned.time.as_secs_f64();
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
    use super::*;

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
