//! Evaluate: an evaluation from its request to its outcome.

use std::time::{Duration, Instant};

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::{CaseMeasurement, Evaluation, GpuTimes, Measurement};
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::objective::{Pairing, Yardstick, score_at_best};
use packevolve_contract::protocol::{EvaluateRequest, Threshold, TimeLimits};
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::statistic::median;
use packevolve_contract::stream::{Purpose, Stream, stream};
use rand::RngExt;

use crate::error::{Halt, JudgeError};
use crate::judge::progress::{Program, Progress};
use crate::judge::sample::WindowCall;
use crate::judge::session::Judge;
use crate::schedule::Schedule;

/// How a measurement without a failure ended.
pub(super) enum Ended {
    Completed,
    Inconsistent(Vec<Inconsistency>),
    Outclassed { at_best: f64 },
}

/// The random streams of a measurement.
pub(super) struct Streams {
    pub order: Stream,
    pub seeds: Stream,
    pub repeats: Stream,
}

impl Streams {
    pub fn of(rng_seed: u64, candidate: u64) -> Self {
        let key = |purpose| stream(rng_seed, candidate, purpose);
        Self { order: key(Purpose::Permutation), seeds: key(Purpose::CallSeed), repeats: key(Purpose::Repeat) }
    }
}

impl Judge {
    /// Evaluates one program. If the nursery or the reference program breaks, starts new ones and tries once more.
    pub fn evaluate(&mut self, request: &EvaluateRequest) -> Result<Evaluation, JudgeError> {
        let _held = self.place.lock.hold()?;
        match self.evaluate_once(request) {
            Err(error @ (JudgeError::Nursery(_) | JudgeError::Reference(_))) => {
                tracing::warn!(%error, candidate = request.candidate, "replacing the nursery");
                self.replace_nursery()?;
                self.evaluate_again(request)
            }
            other => other,
        }
    }

    /// A reference program that hangs a second time on a GPU waits for the work of the program.
    fn evaluate_again(&mut self, request: &EvaluateRequest) -> Result<Evaluation, JudgeError> {
        match self.evaluate_once(request) {
            Err(JudgeError::Reference(Rejection::Hang { limit_seconds })) if self.slot.is_on_gpu() => {
                self.replace_nursery()?;
                let rejection = Rejection::LeftWork { seconds: limit_seconds };
                let evidence = Evidence { seconds: limit_seconds, ..Evidence::default() };
                Ok(Evaluation::Rejected { rejection, evidence })
            }
            other => other,
        }
    }

    fn evaluate_once(&mut self, request: &EvaluateRequest) -> Result<Evaluation, JudgeError> {
        self.start_elsewhere()?;
        let started = Instant::now();
        let before = self.slot.settle()?;
        let mut progress = self.enter(request)?;
        progress.measurement.calibration.before = before;
        let outcome = self.measure(&mut progress, request, started);
        let mut evaluation = self.end(progress, outcome)?;
        if let Evaluation::Rejected { evidence, .. } = &mut evaluation {
            evidence.seconds = started.elapsed().as_secs_f64();
        }
        self.close(&mut [&mut evaluation], started)?;
        Ok(evaluation)
    }

    fn enter<'a>(&self, request: &'a EvaluateRequest) -> Result<Progress<'a>, JudgeError> {
        let streams = Streams::of(self.session.rng_seed, request.candidate);
        let schedule = Schedule::new(self.pool.of_search(), self.pool.search.rounds, self.session.cases.len());
        let EvaluateRequest { program, file_name, is_of_blocks, .. } = request;
        let program = Program { text: program, file_name, is_of_blocks: *is_of_blocks };
        self.start(program, request.limits, schedule, streams)
    }

    /// A measurement of `program` without any sample.
    pub(super) fn start<'a>(
        &self,
        program: Program<'a>,
        limits: Option<TimeLimits>,
        schedule: Schedule,
        mut streams: Streams,
    ) -> Result<Progress<'a>, JudgeError> {
        let empty = |case: &Case| CaseMeasurement { case: case.to_string(), samples: Vec::new() };
        let on_gpu = self.slot.is_on_gpu();
        Ok(Progress {
            program,
            children: Vec::new(),
            schedule,
            current: 0,
            scored: self.session.cases.iter().map(|_| None).collect(),
            during: "loading".to_owned(),
            limits: limits.unwrap_or_else(|| self.session.limits.times(None)),
            aside: Duration::ZERO,
            measurement: Measurement {
                cases: self.session.cases.iter().map(empty).collect(),
                gpu: on_gpu.then(|| GpuTimes { context_seconds: Vec::new(), reported: Vec::new() }),
                ..Measurement::default()
            },
            order: streams.order,
            seeds: streams.seeds,
            repeats: streams.repeats.random(),
            is_fast: false,
            left_work: false,
            code: None,
            kernels: self.kernels_of(program.text)?,
        })
    }

    fn measure(
        &mut self,
        progress: &mut Progress<'_>,
        request: &EvaluateRequest,
        started: Instant,
    ) -> Result<Ended, Halt> {
        if self.session.chain_windows.is_some() {
            return self.measure_chains(progress, request, started);
        }
        let ended = self.measure_cases(progress, request, started)?;
        let stops_here = match &ended {
            Ended::Completed => false,
            Ended::Inconsistent(_) => !request.measures_inconsistent,
            Ended::Outclassed { .. } => true,
        };
        if stops_here {
            return Ok(ended);
        }
        if request.is_baseline {
            self.settle_baseline(progress)?;
        }
        if request.rebalance {
            self.rebalance(progress, request.budget_seconds)?;
        }
        Ok(ended)
    }

    fn measure_cases(
        &mut self,
        progress: &mut Progress<'_>,
        request: &EvaluateRequest,
        started: Instant,
    ) -> Result<Ended, Halt> {
        let budget = request.budget_seconds.unwrap_or(f64::INFINITY);
        let mut inconsistencies = Vec::new();
        for round in progress.schedule.rounds() {
            // Charged time counts, so a program that sleeps is not measured on fewer windows.
            if round > 0 && progress.charged_seconds(|_| true) > budget {
                break;
            }
            for case in 0..self.session.cases.len() {
                progress.check_time(started)?;
                self.ensure_child(progress, case)?;
                let around = if request.is_baseline { self.around_baseline(&progress.measurement, case) } else { 1 };
                let window = progress.schedule.window(case, round);
                let sample = self.sample(progress, WindowCall { case, window, first_attempt: 0, around })?;
                progress.measurement.cases[case].samples.push(sample);
                let threshold = request.outclassed.as_ref().filter(|_| inconsistencies.is_empty());
                if let Some(at_best) = outclassed(&progress.measurement, threshold) {
                    return Ok(Ended::Outclassed { at_best });
                }
            }
            // Here, so that no program pays for it that is plainly outclassed.
            if round == 0 {
                inconsistencies = self.inconsistencies(progress, request.candidate)?;
            }
            if !inconsistencies.is_empty() && !request.measures_inconsistent {
                break;
            }
        }
        Ok(if inconsistencies.is_empty() { Ended::Completed } else { Ended::Inconsistent(inconsistencies) })
    }

    /// Ends the children; the evaluation lacks only what [`Judge::close`] adds.
    pub(super) fn end(
        &mut self,
        progress: Progress<'_>,
        outcome: Result<Ended, Halt>,
    ) -> Result<Evaluation, JudgeError> {
        let outcome = match outcome {
            Ok(ended) => Ok(ended),
            Err(Halt::Rejected { rejection, traceback }) => Err((rejection, traceback)),
            Err(Halt::Broken(error)) => return Err(error),
        };
        let Progress { children, current, mut measurement, during, .. } = progress;
        let peaks = children.iter().map(|child| child.peak_memory).chain([measurement.peak_memory_bytes]);
        measurement.peak_memory_bytes = peaks.max().unwrap_or(0);
        let traceback = outcome.as_ref().err().map_or("", |(_, traceback)| traceback);
        let mut last = (String::new(), Evidence::default());
        for (number, child) in children.into_iter().enumerate() {
            let ended = child.end(&mut self.nursery, &during, traceback.to_owned())?;
            if number == current {
                last = ended;
            }
        }
        self.slot.look_at_memory()?;
        let (status, evidence) = last;
        Ok(match outcome {
            Ok(Ended::Completed) => Evaluation::Measured { measurement },
            Ok(Ended::Inconsistent(inconsistencies)) => Evaluation::Inconsistent { inconsistencies, measurement },
            Ok(Ended::Outclassed { at_best }) => Evaluation::Outclassed { measurement, at_best },
            Err((Rejection::Crash { .. }, _)) => {
                Evaluation::Rejected { rejection: Rejection::Crash { status }, evidence }
            }
            Err((rejection, _)) => Evaluation::Rejected { rejection, evidence },
        })
    }

    /// Calibrates once more, now that no child is left, and completes the measurements.
    pub(super) fn close(&mut self, evaluations: &mut [&mut Evaluation], started: Instant) -> Result<(), JudgeError> {
        if evaluations.iter().all(|evaluation| evaluation.measurement().is_none()) {
            return Ok(());
        }
        let after = self.slot.settle()?;
        for measurement in evaluations.iter_mut().filter_map(|evaluation| evaluation.measurement_mut()) {
            measurement.calibration.after.clone_from(&after);
            measurement.evaluation_seconds = started.elapsed().as_secs_f64();
            // The reference program had another speed beside this program than without it.
            let during = median(measurement.references());
            if during > 0.0 && self.slot.is_off([during; 2]) {
                measurement.calibration.doubtful = measurement.names();
            }
        }
        Ok(())
    }
}

/// The estimate of a program that cannot reach the threshold.
pub(super) fn outclassed(measurement: &Measurement, threshold: Option<&Threshold>) -> Option<f64> {
    let Threshold { score, baseline, objective } = threshold?;
    let yardstick = Yardstick { baseline, objective: *objective, pairing: Pairing::Shared };
    score_at_best(measurement, yardstick).filter(|at_best| at_best < score)
}
#[cfg(test)]
mod tests {
    use packevolve_contract::case::cases;
    use packevolve_contract::protocol::{Limits, Sandbox, Session, VERSION};
    use packevolve_contract::topology::Topology;

    use super::*;

    const HONEST: &str = include_str!("../../../tests/testdata/fates/measured/honest.py");

    fn small_session() -> Session {
        let topology = Topology { layers: 4, experts: 16, groups: 4, nodes: 2, gpus: 4, replicas: 16 };
        Session {
            version: VERSION,
            device: "cpu".to_owned(),
            cpu: None,
            python: None,
            cases: cases(&topology, &[], 0, 1).unwrap(),
            chain_windows: None,
            topology,
            loads: None,
            windows: Some(3),
            loads_seed: 1,
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
        }
    }

    fn small_judge() -> Judge {
        Judge::open(small_session(), None).unwrap()
    }

    /// With a chain of that many windows.
    fn small_judge_of_policies(windows: usize) -> Judge {
        let session = Session { cases: Vec::new(), chain_windows: Some(windows), windows: Some(1), ..small_session() };
        Judge::open(session, None).unwrap()
    }

    fn request() -> EvaluateRequest {
        EvaluateRequest {
            candidate: 3,
            file_name: "eplb.py".to_owned(),
            program: HONEST.to_owned(),
            budget_seconds: None,
            limits: None,
            outclassed: None,
            measures_inconsistent: true,
            is_baseline: false,
            rebalance: false,
            is_of_blocks: false,
        }
    }

    /// Raises if it is called on loads that it has seen before.
    const RECOGNISES: &str = include_str!("../../../tests/testdata/fates/inconsistent/raises_at_loads_seen_before.py");

    /// DeepSeek's planner.
    const POLICY: &str = include_str!("../../../candidates/policy.py");

    /// What is doubtful of a policy while the first `times` times of the reference program are doubled, before the last
    /// calibration and after it.
    fn doubtful_chains(judge: &mut Judge, times: usize) -> [Vec<String>; 2] {
        let request = EvaluateRequest { program: POLICY.to_owned(), ..request() };
        judge.slot.settle().unwrap();
        judge.slot.reference.doubled = times;
        let mut progress = judge.enter(&request).unwrap();
        let measured = judge.measure(&mut progress, &request, Instant::now());
        assert!(measured.is_ok(), "{:?}", measured.err());
        judge.slot.reference.doubled = 0;
        let before = progress.measurement.calibration.doubtful.clone();
        let mut evaluation = judge.end(progress, measured).unwrap();
        judge.close(&mut [&mut evaluation], Instant::now()).unwrap();
        [before, evaluation.measured().unwrap().calibration.doubtful.clone()]
    }

    #[test]
    #[ignore = "long: fails on a machine that is too busy to calibrate"]
    fn a_chain_is_doubtful_if_the_reference_was_slowed_in_many_of_its_steps_or_all_along() {
        let (mut long, mut short) = (small_judge_of_policies(8), small_judge_of_policies(3));
        let (none, chain) = (Vec::<String>::new, || vec!["chain 0".to_owned()]);
        assert_eq!(doubtful_chains(&mut long, 0), [none(), none()]);
        // Both sides of the first pair, and one call of the calibration that follows: one step of six, or the only one.
        assert_eq!(doubtful_chains(&mut long, 3), [none(), none()]);
        assert_eq!(doubtful_chains(&mut short, 3), [chain(), chain()]);
        assert_eq!(doubtful_chains(&mut long, usize::MAX), [none(), chain()]);
    }

    /// An evaluation in which the first `times` times of the reference program are doubled.
    fn beside_a_slowed_reference(judge: &mut Judge, times: usize) -> Measurement {
        let request = EvaluateRequest { program: RECOGNISES.to_owned(), ..request() };
        judge.slot.settle().unwrap();
        judge.slot.reference.doubled = times;
        let mut progress = judge.enter(&request).unwrap();
        let measured = judge.measure_cases(&mut progress, &request, Instant::now());
        assert!(measured.is_ok(), "a child was given loads that it had seen: {:?}", measured.err());
        judge.slot.reference.doubled = 0;
        let mut evaluation = judge.end(progress, measured).unwrap();
        judge.close(&mut [&mut evaluation], Instant::now()).unwrap();
        // It is inconsistent, because the check shows rows again, but to another child.
        evaluation.measurement().unwrap().clone()
    }

    #[test]
    #[ignore = "long: fails on a machine that is too busy to calibrate"]
    fn a_pair_beside_a_slowed_reference_is_void_and_repeated_on_the_same_window() {
        let mut judge = small_judge();
        // Both sides of the first pair, and one call of the calibration that follows.
        let measured = beside_a_slowed_reference(&mut judge, 3);
        let [first, ..] = &measured.calibration.voided[..] else { panic!("{measured:?}") };
        assert_eq!((first.case.as_str(), first.sample.window), (measured.cases[0].case.as_str(), 0));
        // The repeated pair has the same window in another order: its loads are equal up to rounding.
        let made_again = &measured.cases[0].samples[0];
        assert!((first.sample.bound / made_again.bound - 1.0).abs() < 1e-12);
        assert!(measured.cases.iter().all(|case| case.samples.len() == 3), "every window counts once");
        assert!(!measured.is_doubtful(), "{measured:?}");
    }

    #[test]
    #[ignore = "long: fails on a machine that is too busy to calibrate"]
    fn a_reference_that_is_slower_as_long_as_the_program_lives_makes_its_measurement_doubtful() {
        let mut judge = small_judge();
        let measured = beside_a_slowed_reference(&mut judge, usize::MAX);
        assert!(measured.is_doubtful() && !measured.calibration.again.is_empty(), "{measured:?}");
        assert!(measured.cases.iter().all(|case| case.samples.len() == 3), "{measured:?}");
    }

    #[test]
    fn a_repeated_call_has_an_order_of_its_own_and_changes_no_other() {
        let mut judge = small_judge();
        let (input, request) = (judge.input(1, 0), request());
        let mut progress = judge.enter(&request).unwrap();
        let (first, _) = progress.draw(&input, 1 << 16, 0);
        let second = progress.draw(&input, 1 << 32, 0);
        let mut progress = judge.enter(&request).unwrap();
        assert_eq!(progress.draw(&input, 1 << 16, 0).0, first);
        let again = [1, 2].map(|attempt| progress.draw(&input, 1 << 16 | u64::from(attempt), attempt));
        assert_ne!(again[0], again[1]);
        assert_ne!(again[0].0, first);
        assert_eq!(progress.draw(&input, 1 << 16 | 1, 1), again[0]);
        assert_eq!(progress.draw(&input, 1 << 32, 0), second);
    }
}
