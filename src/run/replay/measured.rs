//! Measures a candidate again and compares with the record: loads call by call to the last digit, times with the range
//! of the recorded ones.

use std::collections::BTreeSet;
use std::fmt;

use packevolve_contract::chain::{ChainMeasurement, Step};
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::{CaseMeasurement, Evaluation, Measurement, NextLoads, Sample};
use packevolve_contract::protocol::{DuelRequest, EvaluateRequest, Ready};
use packevolve_contract::statistic::median;
use schemars::JsonSchema;
use serde::Serialize;

use crate::judge::client::{self, Judge};
use crate::run::fold::Run;
use crate::run::replay::decisions::{Divergence, same};
use crate::run::request::{baseline_request, duel_request, evaluate_request};
use crate::search::best::OpenDuel;
use crate::values::candidate::CandidateId;

/// The tolerance of times beyond the recorded range: a fifth, as for the reference program in a pair.
const TOLERANCE: f64 = 1.2;

/// The outcome of measuring a candidate again.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Remeasured {
    Calls(Calls),
    Rejected,
    /// The run ended before its evaluation.
    NeverJudged,
}

/// The comparison of calls that both measurements made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Calls {
    /// The number of compared calls.
    pub compared: usize,
    /// Loads that differ, in the order of cases and windows.
    pub moved: Vec<Moved>,
    pub speed: Vec<Speed>,
    /// Time now over recorded time, both relative to the reference program; median over cases and windows.
    pub time_ratio: f64,
    /// The model of the device that is recorded.
    pub recorded_on: String,
    /// Differences of the machine.
    pub elsewhere: Vec<Elsewhere>,
}

/// A load that differs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Moved {
    pub case: String,
    pub window: usize,
    pub figure: &'static str,
    pub recorded: f64,
    pub now: f64,
}

/// The times of a case, in units of the reference program's.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Speed {
    pub case: String,
    pub fastest: f64,
    /// The slowest recorded call.
    pub slowest: f64,
    pub now: f64,
    /// Whether the median lies outside the recorded range and its tolerance.
    pub moved: bool,
}

/// A difference of the machine, which may explain others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Elsewhere {
    pub what: &'static str,
    pub recorded: String,
    pub now: String,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, window, figure, recorded, now } = self;
        write!(f, "{figure} of {case}, window {window}: the record has {recorded}, replay gives {now}")
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} then, {} now", self.what, self.recorded, self.now)
    }
}

impl Calls {
    /// Whether all loads are equal.
    pub fn is_balanced_alike(&self) -> bool {
        self.moved.is_empty()
    }

    /// Whether all times lie in the recorded range.
    pub fn is_as_fast(&self) -> bool {
        self.speed.iter().all(|speed| !speed.moved)
    }
}

/// Measures a candidate again as the run did, in its evaluation and its duels, and compares.
///
/// # Errors
/// The loads or the outcome differ from the run's, or the judge fails.
pub async fn measure(run: &Run, candidate: CandidateId) -> Result<Remeasured, Divergence> {
    let Some(recorded) = run.evaluation(candidate)? else { return Ok(Remeasured::NeverJudged) };
    let started = run.search.origin();
    let settings = &started.settings;
    let session = client::session(&settings.evaluation, &started.cases, settings.rng_seed, None)?;
    let mut judge = Judge::open(session, &settings.llm.key_variables()).await?;
    same(|| "the loads".to_owned(), &started.judge.loads_digest, &judge.ready().loads_digest)?;
    let known = run.search.candidate(candidate).expect("BUG: a candidate of the run");
    let device = &run.search.places().devices()[known.device.unwrap_or_default()];
    let elsewhere = elsewhere(&device.judge, judge.ready());
    let again = judge.evaluate(in_full(run, candidate)?).await?;
    let mut both = vec![(recorded, again)];
    for (open, recorded) in run.duels(candidate)? {
        let again = judge.duel(as_recorded(run, open, &recorded)?).await?;
        both.push((recorded.contender, again.contender));
    }
    let mut pairs = Vec::new();
    for (then, now) in both {
        match (then.measurement(), now.measurement()) {
            (Some(then), Some(now)) => pairs.push((as_cases(&then.credited()), as_cases(&now.credited()))),
            _ => same(|| format!("how candidate {candidate} is judged"), &kind(&then), &kind(&now))?,
        }
    }
    if pairs.is_empty() {
        return Ok(Remeasured::Rejected);
    }
    let recorded_on = device.judge.device_name.clone();
    Ok(Remeasured::Calls(Calls { recorded_on, elsewhere, ..compare(&pairs)? }))
}

/// A measurement with the steps of its chains as cases, each with a call a chain.
fn as_cases(measurement: &Measurement) -> Measurement {
    let mut compared = measurement.clone();
    let steps = compared.chains.iter().map(|chain| chain.steps.len()).max().unwrap_or(0);
    let sample = |chain: &ChainMeasurement, step: usize| {
        let step = chain.steps.get(step)?;
        Some(Sample {
            window: chain.chain,
            mean_load: step.served.mean,
            max_load: step.served.max,
            bound: step.floor,
            worst_row_gap: 1.0 - step.worst_layer,
            next: Some(NextLoads { mean_load: step.now.mean, max_load: step.now.max }),
            seconds: step.seconds,
            wall_seconds: step.wall_seconds,
            reference_seconds: step.reference_seconds,
        })
    };
    let cases = (0..steps).map(|step| CaseMeasurement {
        case: plan_name(step),
        samples: compared.chains.iter().filter_map(|chain| sample(chain, step)).collect(),
    });
    let cases: Vec<CaseMeasurement> = cases.collect();
    compared.cases.extend(cases);
    compared
}

/// The plan that the step of this place in its chain makes.
fn plan_name(step: usize) -> String {
    format!("plan {}", step + 1)
}

/// What no call of a case has, of the steps of all chains that both measured.
fn moved_steps(then: &Measurement, now: &Measurement) -> Vec<Moved> {
    let both = then.chains.iter().filter_map(|old| {
        let new = now.chains.iter().find(|new| new.chain == old.chain)?;
        Some((old.chain, old.steps.iter().zip(&new.steps)))
    });
    both.flat_map(|(chain, steps)| steps.enumerate().flat_map(move |(at, steps)| moved_step(chain, at, steps)))
        .collect()
}

fn moved_step(chain: usize, at: usize, (old, new): (&Step, &Step)) -> Vec<Moved> {
    let figures = |step: &Step| {
        [
            ("replicas moved", step.moved as f64),
            ("replicas moved to the busiest GPU", step.busiest_gpu as f64),
            ("replicas moved between nodes", step.cross_node as f64),
            ("doubles", step.doubles as f64),
            ("balancedness of nine of ten layers", step.p90_layer),
            ("mean load under DeepSeek's planner", step.planner.served.mean),
            ("heaviest load under DeepSeek's planner", step.planner.served.max),
            ("replicas that DeepSeek's planner moves to the busiest GPU", step.planner.busiest_gpu as f64),
        ]
    };
    let compared = figures(old).into_iter().zip(figures(new));
    let compared = compared.map(|((figure, recorded), (_, now))| (figure, recorded, now));
    let differs = compared.filter(|(_, recorded, now)| recorded != now);
    differs.map(|(figure, recorded, now)| Moved { case: plan_name(at), window: chain, figure, recorded, now }).collect()
}

/// The request of the run, without a reason to stop early. Of the baseline one pass is enough to compare.
fn in_full(run: &Run, candidate: CandidateId) -> Result<EvaluateRequest, Divergence> {
    let search = &run.search;
    if candidate == CandidateId::SEED && search.baseline_is_seed() {
        return Ok(EvaluateRequest { is_baseline: false, rebalance: false, ..baseline_request(search) });
    }
    let request = evaluate_request(search, search.baseline(), candidate, run.programs.program(candidate)?.to_string());
    Ok(EvaluateRequest { outclassed: None, ..request })
}

/// The request of a recorded duel, which ends after as many rounds.
fn as_recorded(run: &Run, open: OpenDuel, recorded: &Duel) -> Result<DuelRequest, Divergence> {
    let program = |candidate| run.programs.program(candidate).map(|program| program.to_string());
    let baseline = run.search.baseline().expect("BUG: a duel comes after the baseline");
    let request = duel_request(&run.search, baseline, open, program(open.contender)?, program(open.best)?);
    let measured = [&recorded.contender, &recorded.best].map(|side| side.measured().map_or(0, Measurement::rounds));
    let rounds = measured[0].max(measured[1]).max(1);
    Ok(DuelRequest { least_rounds: rounds, most_rounds: rounds, budget_seconds: None, rebalance: false, ..request })
}

fn elsewhere(then: &Ready, now: &Ready) -> Vec<Elsewhere> {
    let parts = [
        ("device", &then.device, &now.device),
        ("processor", &then.device_name, &now.device_name),
        ("torch", &then.torch, &now.torch),
        ("Python", &then.python, &now.python),
    ];
    let differs = parts.into_iter().filter(|(_, recorded, now)| recorded != now);
    differs.map(|(what, recorded, now)| Elsewhere { what, recorded: recorded.clone(), now: now.clone() }).collect()
}

fn kind(evaluation: &Evaluation) -> &'static str {
    evaluation.rejection().map_or("measured", Into::into)
}

/// Compares the common calls of each recorded and new measurement, case by case.
///
/// # Errors
/// None of the recorded calls of a case was repeated.
fn compare(pairs: &[(Measurement, Measurement)]) -> Result<Calls, Divergence> {
    let mut calls = Calls::default();
    let mut ratios = Vec::new();
    let Some((first, _)) = pairs.first() else { return Ok(calls) };
    calls.moved = pairs.iter().flat_map(|(then, now)| moved_steps(then, now)).collect();
    for case in first.cases.iter().map(|case| &case.case) {
        let (mut then_samples, mut now_samples) = (Vec::new(), Vec::new());
        for (then, now) in pairs {
            calls.note_loads(case, then, now)?;
            // Without void pairs, whose times mean nothing.
            let (old, new) = (then.samples(case), now.samples(case));
            ratios.extend(time_ratios(old, new));
            then_samples.extend_from_slice(old);
            now_samples.extend_from_slice(new);
        }
        calls.speed.extend(speed(case, &then_samples, &now_samples));
    }
    calls.time_ratio = median(ratios.into_iter());
    Ok(calls)
}

impl Calls {
    fn note_loads(&mut self, case: &str, then: &Measurement, now: &Measurement) -> Result<(), Divergence> {
        let (old, new) = (attempts(then, case), attempts(now, case));
        let again = |attempt: usize, window: usize| new.iter().find(|(a, s)| *a == attempt && s.window == window);
        let pairs: Vec<(&Sample, &Sample)> =
            old.iter().filter_map(|(attempt, old)| Some((*old, again(*attempt, old.window)?.1))).collect();
        if pairs.is_empty() && !old.is_empty() {
            let (expected, got) = (windows(&old), windows(&new));
            return Err(Divergence::Differs { what: format!("the calls of {case}"), expected, got });
        }
        self.moved.extend(pairs.iter().flat_map(|(old, new)| moved(case, old, new)));
        self.compared += pairs.len();
        Ok(())
    }
}

fn windows(calls: &[(usize, &Sample)]) -> String {
    let windows: BTreeSet<usize> = calls.iter().map(|(_, sample)| sample.window).collect();
    format!("windows {windows:?}")
}

fn moved(case: &str, old: &Sample, new: &Sample) -> Vec<Moved> {
    let figures = [
        ("mean load", old.mean_load, new.mean_load),
        ("heaviest load", old.max_load, new.max_load),
        ("bound on the heaviest load", old.bound, new.bound),
        ("worst gap of a row", old.worst_row_gap, new.worst_row_gap),
    ];
    let next = old.next.zip(new.next).map(|(old, new)| {
        [
            ("next window's mean load", old.mean_load, new.mean_load),
            ("next window's heaviest load", old.max_load, new.max_load),
        ]
    });
    let all = figures.into_iter().chain(next.into_iter().flatten());
    let differs = all.filter(|(_, recorded, now)| recorded != now);
    differs
        .map(|(figure, recorded, now)| Moved { case: case.to_owned(), window: old.window, figure, recorded, now })
        .collect()
}

fn time_ratios(old: &[Sample], new: &[Sample]) -> Vec<f64> {
    let again = |window: usize| new.iter().find(|sample| sample.window == window);
    old.iter().filter_map(|old| Some(again(old.window)?.relative_time() / old.relative_time())).collect()
}

fn speed(case: &str, old: &[Sample], new: &[Sample]) -> Option<Speed> {
    if old.is_empty() || new.is_empty() {
        return None;
    }
    let times = old.iter().map(Sample::relative_time);
    let (fastest, slowest) = times.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), t| (low.min(t), high.max(t)));
    let now = median(new.iter().map(Sample::relative_time));
    let moved = now < fastest / TOLERANCE || now > slowest * TOLERANCE;
    Some(Speed { case: case.to_owned(), fastest, slowest, now, moved })
}

/// The calls of a case, with the number of the attempt on their window. Void pairs occur by chance; attempts of the
/// same number have the same order and seed.
fn attempts<'a>(measurement: &'a Measurement, case: &str) -> Vec<(usize, &'a Sample)> {
    let voided = measurement.calibration.voided.iter().filter(|voided| voided.case == case);
    let mut all: Vec<(usize, &Sample)> = Vec::new();
    for sample in voided.map(|voided| &voided.sample).chain(measurement.samples(case)) {
        let earlier = all.iter().filter(|(_, other)| other.window == sample.window).count();
        all.push((earlier, sample));
    }
    all
}

#[cfg(test)]
mod tests {
    use packevolve_contract::evaluation::{Calibration, CaseMeasurement, Voided};

    use super::*;

    fn compared(then: &Measurement, now: &Measurement) -> Calls {
        compare(&[(then.clone(), now.clone())]).unwrap()
    }

    fn sample(window: usize, max_load: f64) -> Sample {
        Sample {
            window,
            mean_load: 1.0,
            max_load,
            bound: 1.0,
            worst_row_gap: 0.0,
            seconds: 0.01,
            wall_seconds: 0.01,
            reference_seconds: 0.001,
            ..Sample::default()
        }
    }

    /// Two windows of a case: void attempts first, then the one that counts.
    fn measured(windows: [&[f64]; 2]) -> Measurement {
        let (mut voided, mut samples) = (Vec::new(), Vec::new());
        for (window, loads) in windows.into_iter().enumerate() {
            let (last, earlier) = loads.split_last().unwrap();
            voided.extend(earlier.iter().map(|load| Voided { case: "8->4".to_owned(), sample: sample(window, *load) }));
            samples.push(sample(window, *last));
        }
        Measurement {
            cases: vec![CaseMeasurement { case: "8->4".to_owned(), samples }],
            calibration: Calibration { voided, ..Calibration::default() },
            ..Measurement::default()
        }
    }

    /// Two windows with these times relative to the reference program.
    fn timed(times: [f64; 2]) -> Measurement {
        let mut measurement = measured([&[2.0], &[2.0]]);
        for (sample, time) in measurement.cases[0].samples.iter_mut().zip(times) {
            sample.seconds = time * sample.reference_seconds;
        }
        measurement
    }

    #[test]
    fn calls_are_compared_with_those_of_the_same_attempt_whichever_of_them_were_void() {
        let then = measured([&[2.0, 3.0], &[4.0]]);
        let now = measured([&[2.0], &[4.0, 5.0, 6.0]]);
        for calls in [compared(&then, &now), compared(&now, &then)] {
            assert_eq!((calls.compared, calls.time_ratio), (2, 1.0));
            assert!(calls.is_balanced_alike() && calls.is_as_fast());
        }
    }

    #[test]
    fn calls_of_which_none_was_made_again_are_named() {
        let now = measured([&[2.0], &[4.0]]);
        let mut elsewhere = now.clone();
        elsewhere.cases[0].samples.iter_mut().for_each(|sample| sample.window += 40);
        let error = compare(&[(elsewhere, now)]).unwrap_err().to_string();
        assert_eq!(error, "the calls of 8->4: the record has windows {40, 41}, replay gives windows {0, 1}");
    }

    #[test]
    fn all_loads_that_moved_are_named() {
        let calls = compared(&measured([&[2.0], &[4.0]]), &measured([&[3.0], &[4.5]]));
        let moved: Vec<String> = calls.moved.iter().map(ToString::to_string).collect();
        assert_eq!(
            moved,
            [
                "heaviest load of 8->4, window 0: the record has 2, replay gives 3",
                "heaviest load of 8->4, window 1: the record has 4, replay gives 4.5"
            ]
        );
        assert!(!calls.is_balanced_alike() && calls.is_as_fast());
    }

    #[test]
    fn of_policies_all_that_scores_use_is_compared() {
        let step = Step { reference_seconds: 1.0, seconds: 1.0, moved: 9, busiest_gpu: 3, ..Step::default() };
        let measured = |steps: [Step; 2]| {
            let chains = vec![ChainMeasurement { chain: 7, steps: steps.to_vec() }];
            as_cases(&Measurement { chains, ..Measurement::default() })
        };
        let then = measured([step.clone(), step.clone()]);
        assert!(compared(&then, &then).is_balanced_alike());
        let moves = |change: fn(&mut Step)| {
            let mut other = step.clone();
            change(&mut other);
            let calls = compared(&then, &measured([step.clone(), other]));
            calls.moved.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            moves(|step| step.busiest_gpu = 4),
            ["replicas moved to the busiest GPU of plan 2, window 7: the record has 3, replay gives 4"]
        );
        let others: [fn(&mut Step); 6] = [
            |step| step.moved = 8,
            |step| step.cross_node = 1,
            |step| step.doubles = 1,
            |step| step.planner.busiest_gpu = 1,
            |step| step.planner.served.max = 1.0,
            |step| step.p90_layer = 0.5,
        ];
        assert!(others.into_iter().all(|change| moves(change).len() == 1));
    }

    #[test]
    fn speed_has_moved_when_it_is_more_than_a_fifth_beyond_what_was_recorded() {
        let then = timed([10.0, 12.0]);
        for (times, moved) in [
            ([10.0, 12.0], false),
            ([8.4, 8.4], false),
            ([8.2, 8.4], true),
            ([14.3, 14.3], false),
            ([14.5, 14.5], true),
            // One slow call of two.
            ([5.0, 17.0], false),
        ] {
            let calls = compared(&then, &timed(times));
            assert_eq!(calls.is_as_fast(), !moved, "{times:?}: {calls:?}");
            assert!(calls.is_balanced_alike());
        }
    }

    #[test]
    fn what_of_the_machine_is_not_as_it_was_is_named() {
        let then = Ready { device: "cpu".to_owned(), torch: "2.11.0".to_owned(), ..Ready::default() };
        let now = Ready { torch: "2.12.0".to_owned(), ..then.clone() };
        let [torch] = &elsewhere(&then, &now)[..] else { panic!("{:?}", elsewhere(&then, &now)) };
        assert_eq!(torch.to_string(), "torch: 2.11.0 then, 2.12.0 now");
        assert_eq!(elsewhere(&then, &then), []);
    }
}
