//! Evaluate: an evaluation from its request to its outcome.

use std::time::Instant;

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::{Calibration, CaseMeasurement, Evaluation, GpuTimes, Measurement};
use packevolve_contract::objective::score_at_best;
use packevolve_contract::protocol::{EvaluateRequest, Threshold, WindowSet};
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;

use crate::error::{Halt, JudgeError};
use crate::judge::progress::Progress;
use crate::judge::session::Judge;
use crate::schedule::Schedule;

/// How an evaluation without a failure ended.
enum Ended {
    Completed,
    Outclassed { at_best: f64 },
}

impl Judge {
    /// Evaluates one program. If the nursery or the reference program breaks, starts new ones and tries once more.
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

    fn evaluate_once(&mut self, request: &EvaluateRequest) -> Result<Evaluation, JudgeError> {
        let started = Instant::now();
        let calibration = Calibration { before: self.slot.calibrate()?, ..Calibration::default() };
        let mut progress = self.start(request, calibration);
        let outcome = match self.measure(&mut progress, started) {
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
        let (status, evidence) = last;
        if outcome.is_ok() {
            measurement.calibration.after = self.slot.calibrate()?;
        }
        measurement.evaluation_seconds = started.elapsed().as_secs_f64();
        Ok(match outcome {
            Ok(Ended::Completed) => Evaluation::Measured { measurement },
            Ok(Ended::Outclassed { at_best }) => Evaluation::Outclassed { measurement, at_best },
            Err((Rejection::Crash { .. }, _)) => {
                Evaluation::Rejected { rejection: Rejection::Crash { status }, evidence }
            }
            Err((rejection, _)) => Evaluation::Rejected { rejection, evidence },
        })
    }

    fn start<'a>(&self, request: &'a EvaluateRequest, calibration: Calibration) -> Progress<'a> {
        let key = |purpose| stream(self.session.rng_seed, request.candidate, purpose);
        let (order, seeds) = match request.windows {
            WindowSet::Search => (Purpose::Permutation, Purpose::CallSeed),
            WindowSet::HeldOut => (Purpose::HeldOutPermutation, Purpose::HeldOutCallSeed),
        };
        let (windows, rounds) = self.pool.numbers_and_rounds(request.windows);
        let cases = &self.session.cases;
        let empty = |case: &Case| CaseMeasurement { case: case.to_string(), samples: Vec::new() };
        let on_gpu = self.slot.device != "cpu";
        Progress {
            request,
            children: Vec::new(),
            schedule: Schedule::new(windows, rounds, cases.len()),
            current: 0,
            first_outputs: None,
            last_call: None,
            during: "loading".to_owned(),
            limits: request.limits.unwrap_or_else(|| self.session.limits.times(None)),
            measurement: Measurement {
                cases: cases.iter().map(empty).collect(),
                gpu: on_gpu.then(|| GpuTimes { context_seconds: Vec::new(), reported: Vec::new() }),
                calibration,
                ..Measurement::default()
            },
            order: key(order),
            seeds: key(seeds),
            repeats: key(Purpose::Repeat).random(),
            code: None,
        }
    }

    fn measure(&mut self, progress: &mut Progress<'_>, started: Instant) -> Result<Ended, Halt> {
        let ended = self.measure_cases(progress, started)?;
        if let Ended::Completed = ended {
            self.repeat(progress)?;
            if progress.request.rebalance {
                self.rebalance(progress)?;
            }
        }
        Ok(ended)
    }

    fn measure_cases(&mut self, progress: &mut Progress<'_>, started: Instant) -> Result<Ended, Halt> {
        let budget = progress.request.budget_seconds.unwrap_or(f64::INFINITY);
        for round in progress.schedule.rounds() {
            // Charged time counts, so a program that sleeps is not measured on fewer windows.
            if round > 0 && progress.charged_seconds() > budget {
                break;
            }
            for case in 0..self.session.cases.len() {
                progress.check_time(started)?;
                if progress.schedule.child(case) == progress.children.len() {
                    self.start_case(progress, case)?;
                }
                let sample = self.sample(progress, case, progress.schedule.window(case, round))?;
                progress.measurement.cases[case].samples.push(sample);
                if let Some(at_best) = outclassed(&progress.measurement, progress.request.outclassed.as_ref()) {
                    return Ok(Ended::Outclassed { at_best });
                }
            }
        }
        Ok(Ended::Completed)
    }
}

fn outclassed(measurement: &Measurement, threshold: Option<&Threshold>) -> Option<f64> {
    let threshold = threshold?;
    score_at_best(measurement, &threshold.baseline, threshold.weights).filter(|at_best| *at_best < threshold.score)
}

#[cfg(test)]
mod tests {
    use packevolve_contract::case::cases;
    use packevolve_contract::evaluation::Voided;
    use packevolve_contract::loads::Loads;
    use packevolve_contract::protocol::{Limits, Sandbox, Session, VERSION};
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

    /// Raises if it is called on loads that it has seen before.
    const RECOGNISES: &str = include_str!("../../../tests/testdata/fates/measured/raises_at_loads_seen_before.py");

    /// An evaluation in which the first `times` times of the reference program are doubled.
    fn beside_a_slowed_reference(judge: &mut Judge, times: usize) -> Measurement {
        let calibration = Calibration { before: judge.slot.calibrate().unwrap(), ..Calibration::default() };
        let request = EvaluateRequest { program: RECOGNISES.to_owned(), ..request() };
        let mut progress = judge.start(&request, calibration);
        judge.slot.reference.doubled = times;
        let measured = judge.measure_cases(&mut progress, Instant::now());
        assert!(measured.is_ok(), "a child was given loads that it had seen: {:?}", measured.err());
        judge.slot.reference.doubled = 0;
        for child in progress.children {
            child.end(&mut judge.nursery, "", String::new()).unwrap();
        }
        progress.measurement
    }

    #[test]
    #[ignore = "long: fails on a machine that is too busy to calibrate"]
    fn a_pair_beside_a_slowed_reference_is_void_and_repeated_until_there_were_too_many() {
        let mut judge = small_judge();
        let measured = beside_a_slowed_reference(&mut judge, 3);
        let calibrated = packevolve_contract::statistic::median(measured.calibration.before.iter().copied());
        let first: Vec<&Voided> = measured.calibration.voided.iter().take(3).collect();
        assert_eq!(first.len(), 3);
        for voided in first {
            assert_eq!((voided.case.as_str(), voided.sample.window), (measured.cases[0].case.as_str(), 0));
            assert!(voided.sample.reference_seconds > 1.2 * calibrated && voided.sample.seconds > 0.0);
        }
        // The repeated pair has the same window in another order: its loads are equal up to rounding.
        let (void, made_again) = (&measured.calibration.voided[0].sample, &measured.cases[0].samples[0]);
        assert!((void.bound / made_again.bound - 1.0).abs() < 1e-12);
        assert!(measured.cases.iter().all(|case| case.samples.len() == 3), "every window counts once");

        let measured = beside_a_slowed_reference(&mut judge, usize::MAX);
        assert!(measured.calibration.cap_reached);
        assert_eq!(measured.calibration.voided.len(), MOST_VOIDS);
        assert!(measured.cases.iter().all(|case| case.samples.len() == 3), "{measured:?}");
    }

    #[test]
    fn a_repeated_call_has_an_order_of_its_own_and_changes_no_other() {
        let mut judge = small_judge();
        let (input, request) = (judge.input(1, 0).clone(), request());
        let mut progress = judge.start(&request, Calibration::default());
        let (first, _) = progress.draw(&input, 1, 0, 0);
        let second = progress.draw(&input, 1, 1, 0);
        let mut progress = judge.start(&request, Calibration::default());
        assert_eq!(progress.draw(&input, 1, 0, 0).0, first);
        let again = [1, 2].map(|attempt| progress.draw(&input, 1, 0, attempt));
        assert_ne!(again[0], again[1]);
        assert_ne!(again[0].0, first);
        assert_eq!(progress.draw(&input, 1, 0, 1), again[0]);
        assert_eq!(progress.draw(&input, 1, 1, 0), second);
    }
}
