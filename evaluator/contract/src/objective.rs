//! Objectives: the scores of a program, computed from its measurement and the baseline's (DESIGN.md section 3).
//!
//! Pure functions of two measurements. Scores are never stored, but computed from the record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chain::Step;
use crate::clock::Clock;
use crate::evaluation::{Calibration, CaseMeasurement, Measurement, Sample};
use crate::policy::{PolicyScore, policy_score};
use crate::rebalance::{RebalanceSample, RebalanceScore, rebalance_scores};
use crate::serving::Serving;
use crate::statistic::{Quartiles, balance, mean, median, quartiles, standard_error, two_standard_errors};

/// Cases in which the baseline's gap is smaller leave nothing to gain. `quality` and `speed_score` omit them, and so
/// always 8 -> 4, which LPT solves exactly.
pub const SOLVED_GAP: f64 = 1e-4;

/// The weights of the objectives in `combined_score`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    pub quality: f64,
    /// Of `speed_score`.
    pub speed: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { quality: 0.5, speed: 0.5 }
    }
}

/// What a score counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The balance and the speed of packing.
    Packing(Weights),
    /// The time that a whole policy loses, at these prices.
    Policy(Serving),
}

impl From<Weights> for Objective {
    fn from(weights: Weights) -> Self {
        Self::Packing(weights)
    }
}

/// The windows of the baseline with which packing is compared. A policy is compared with DeepSeek's planner on its own
/// windows, whichever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Those that both saw: for windows of the search.
    Shared,
    /// All of them, as pooled figures: for windows that the baseline never saw.
    Pooled,
}

/// A generous standard deviation, over chains, of the score of a policy. It serves where there are too few chains to
/// measure it.
const CHAINS_DIFFER: f64 = 0.1;

/// What scores are relative to.
#[derive(Clone, Copy, Debug)]
pub struct Yardstick<'a> {
    pub baseline: &'a Measurement,
    pub objective: Objective,
    pub pairing: Pairing,
}

/// The figures of one case, pooled over its windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseScore {
    /// Name of the case.
    pub case: String,
    /// The number of windows.
    pub windows: usize,
    /// Σ mean load / Σ max load; 1 is perfect.
    pub balancedness: f64,
    /// Σ max load / Σ lower bound - 1; 0 is provably optimal.
    pub gap: f64,
    /// Balancedness of the same packs on the next window; `None` with a single window.
    pub next_balancedness: Option<f64>,
    /// Median time of a call as it was measured, seconds.
    pub seconds: f64,
    /// Quartiles of that time, seconds.
    pub seconds_quartiles: Quartiles,
    /// Mean time of a call, normalised by the reference program, seconds. Ratios of these are speedups.
    pub normalised_seconds: f64,
    /// Quartiles of the normalised times of single calls, seconds.
    pub normalised_quartiles: Quartiles,
    /// Time of the baseline over time of this program, both relative to the reference program, over shared windows.
    pub speedup: f64,
    /// `1 - gap / gap of the baseline`, cut to [-1, 1]; `None` if the baseline has (nearly) no gap.
    pub quality: Option<f64>,
    /// Largest gap of a single row.
    pub worst_row_gap: f64,
}

/// The scores of one program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scores {
    /// Weighted sum of `quality` and `speed_score`. The baseline scores 0; provably optimal packing at a thousand times
    /// its speed scores 1. Of a policy: [`PolicyScore::combined_score`].
    pub combined_score: f64,
    /// Mean of the cases' qualities; `None` if no case counts, and then speed alone decides. Of a policy:
    /// [`PolicyScore::balance_won`].
    pub quality: Option<f64>,
    /// Mean over the same cases of log10(speedup) / 3, cut to [-1, 1]. Of a policy, whose front is one of balance and of
    /// bytes moved: [`PolicyScore::stayed`], cut alike.
    pub speed_score: f64,
    /// Mean of the cases' balancedness.
    pub balancedness_score: f64,
    /// Time of the unit (all packing calls of one rebalance) as it was measured: the sum of the cases' medians,
    /// seconds; `None` if one of its calls was not measured.
    pub unit_seconds: Option<f64>,
    /// The same of the normalised times, seconds.
    pub normalised_unit_seconds: Option<f64>,
    /// In the order of the cases of the run.
    pub cases: Vec<CaseScore>,
    /// The figures of `rebalance_experts`, which affect no score; empty if it was not measured.
    pub rebalance: Vec<RebalanceScore>,
    /// The figures of a policy; `None` if the target is packing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyScore>,
}

/// The scores of `measurement`. `unit` names the cases whose times add up to the unit; `clock` is that of the run.
pub fn scores(measurement: &Measurement, yardstick: Yardstick<'_>, unit: &[String], clock: Clock) -> Scores {
    let Yardstick { baseline, objective, pairing } = yardstick;
    let weights = match objective {
        Objective::Packing(weights) => weights,
        Objective::Policy(serving) => return policy_scores(measurement, baseline, &serving),
    };
    let (measurement, baseline) = (measurement.credited(), baseline.credited());
    let cases: Vec<CaseScore> = measurement
        .cases
        .iter()
        .filter(|case| !case.samples.is_empty())
        .map(|case| case_score(case, baseline.samples(&case.case), pairing, clock))
        .collect();
    let quality = mean(cases.iter().filter_map(|case| case.quality));
    let speed_score = speed_score(&cases);
    let in_unit = |time: fn(&CaseScore) -> f64| {
        unit.iter().map(|name| cases.iter().find(|case| case.case == *name).map(time)).sum::<Option<f64>>()
    };
    Scores {
        combined_score: combine(quality, speed_score, weights),
        quality,
        speed_score,
        balancedness_score: mean(cases.iter().map(|case| case.balancedness)).unwrap_or(0.0),
        unit_seconds: in_unit(|case| case.seconds),
        normalised_unit_seconds: in_unit(|case| case.normalised_seconds),
        cases,
        rebalance: rebalance_scores(&measurement.rebalance, &baseline.rebalance, clock),
        policy: None,
    }
}

/// Planning costs seconds, so its times are normalised by the clock of the baseline, also where relative times are wanted.
fn policy_scores(measurement: &Measurement, baseline: &Measurement, serving: &Serving) -> Scores {
    let clock = baseline.clock();
    let (measurement, baseline) = (measurement.credited(), baseline.credited());
    policy_score(&measurement.chains, &baseline.chains, serving, clock).map_or_else(Scores::default, |policy| Scores {
        combined_score: policy.combined_score,
        quality: policy.balance_won.map(rounded),
        speed_score: rounded(policy.stayed.clamp(-1.0, 1.0)),
        balancedness_score: policy.served_balancedness,
        unit_seconds: Some(policy.seconds),
        normalised_unit_seconds: Some(policy.normalised_seconds),
        policy: Some(policy),
        ..Scores::default()
    })
}

/// Policies that plan alike are alike on the front, although the loads of their layers were added up in another order.
fn rounded(figure: f64) -> f64 {
    (figure * 1e6).round() / 1e6
}

/// A generous estimate of the `combined_score` of a program from its cases so far: it assumes that each further case is
/// perfectly balanced and as fast, relative to the baseline, as the fastest case so far. It is not a bound, because
/// further cases may be faster.
///
/// Of a policy: two standard deviations more than the score so far, of what the chains to come may add to it.
///
/// `None` until a case counts.
pub fn score_at_best(measurement: &Measurement, yardstick: Yardstick<'_>) -> Option<f64> {
    let so_far = scores(measurement, yardstick, &[], Clock::RELATIVE);
    let weights = match yardstick.objective {
        Objective::Packing(weights) => weights,
        Objective::Policy(_) => return Some(so_far.policy?.combined_score + chains_may_add(measurement, yardstick)),
    };
    let counting = yardstick.baseline.cases.iter().filter(|case| gap(&case.samples) >= SOLVED_GAP).count();
    let counted: Vec<&CaseScore> = so_far.cases.iter().filter(|case| case.quality.is_some()).collect();
    let fastest = counted.iter().map(|case| speed_of(case.speedup)).reduce(f64::max)?;
    let to_come = (counting - counted.len()) as f64;
    let quality = (counted.iter().filter_map(|case| case.quality).sum::<f64>() + to_come) / counting as f64;
    let speed = counted.iter().map(|case| speed_of(case.speedup)).sum::<f64>() + to_come * fastest;
    Some(combine(Some(quality), (speed / counting as f64).clamp(-1.0, 1.0), weights))
}

/// Two standard deviations of the difference between the mean over the chains so far and the mean over as many as the
/// baseline has: nothing when none is to come.
fn chains_may_add(measurement: &Measurement, yardstick: Yardstick<'_>) -> f64 {
    let (seen, all) = (measurement.chains.len(), yardstick.baseline.chains.len());
    let of_chain = |chain| scores(&measurement.only_round(chain), yardstick, &[], Clock::RELATIVE).combined_score;
    let chains: Vec<f64> = (0..seen).map(of_chain).collect();
    let deviation = CHAINS_DIFFER.max(standard_error(&chains) * (seen as f64).sqrt());
    let to_come = 1.0 / seen as f64 - 1.0 / all.max(seen) as f64;
    2.0 * deviation * to_come.sqrt()
}

/// Half the width of the interval of a `combined_score`: two standard errors of the program's own measurement and of the
/// baseline's together.
pub fn score_interval(measurement: &Measurement, yardstick: Yardstick<'_>) -> f64 {
    own_interval(measurement, yardstick).hypot(baseline_interval(yardstick))
}

/// The part of [`score_interval`] that is the program's own: two standard errors by the jackknife over rounds, in each of
/// which every case has one window. 0 for a single round. Only this part can decide between two programs, because the
/// error of the baseline is the same for both.
pub fn own_interval(measurement: &Measurement, yardstick: Yardstick<'_>) -> f64 {
    if measurement.rounds() < 2 {
        return 0.0;
    }
    let relative = |measurement: &Measurement| scores(measurement, yardstick, &[], Clock::RELATIVE);
    let without = |round: usize| relative(&measurement.without_round(round)).combined_score;
    let left_out: Vec<f64> = (0..measurement.rounds()).map(without).collect();
    two_standard_errors(&left_out)
}

/// A measurement on one device, so that it compares with measurements on another: each case, and each policy, takes the same
/// part of the time of the baseline there as of the time of the baseline here. `own` is the baseline on the measurement's
/// device, `other` that on the other one. Loads stay as they are, and so do times in seconds.
#[must_use]
pub fn as_on(measurement: &Measurement, own: &Measurement, other: &Measurement) -> Measurement {
    let (mut compared, own, other) = (measurement.credited().into_owned(), own.credited(), other.credited());
    // The reference times are credited and no longer those of a slot.
    let doubtful = compared.calibration.doubtful;
    compared.calibration = Calibration { doubtful, ..Calibration::default() };
    for case in &mut compared.cases {
        let factor = relative_time(own.samples(&case.case)) / relative_time(other.samples(&case.case));
        case.samples.iter_mut().for_each(|sample| sample.reference_seconds *= known(factor));
    }
    let of_chains = |baseline: &Measurement| median(baseline.all_steps().map(Step::relative_time));
    let factor = known(of_chains(&own) / of_chains(&other));
    compared.chains.iter_mut().flat_map(|chain| &mut chain.steps).for_each(|step| step.reference_seconds *= factor);
    for sample in &mut compared.rebalance {
        let time = |baseline: &Measurement| {
            let of_policy = baseline.rebalance.iter().filter(|other| other.policy == sample.policy);
            median(of_policy.map(RebalanceSample::relative_time))
        };
        sample.reference_seconds *= known(time(&own) / time(&other));
    }
    compared
}

/// A factor between two devices; none if one of them did not measure what it is the factor of.
fn known(factor: f64) -> f64 {
    if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
}

/// What the error of the baseline's times adds to the interval of every score. Its balance has no error.
///
/// Of a policy: nothing, because its time is a small part of its score, and the loads are the same for both.
pub fn baseline_interval(Yardstick { baseline, objective, .. }: Yardstick<'_>) -> f64 {
    let Objective::Packing(weights) = objective else { return 0.0 };
    let counts = |case: &&CaseMeasurement| gap(&case.samples) >= SOLVED_GAP;
    let counting: Vec<&CaseMeasurement> = baseline.cases.iter().filter(counts).collect();
    let (counting, weight) =
        if counting.is_empty() { (baseline.cases.iter().collect(), 1.0) } else { (counting, weights.speed) };
    let half_width = |name: &str| {
        let known = baseline.calibration.intervals.iter().find(|interval| interval.case == name);
        speed_of((1.0 + known.map_or(0.0, |known| known.half_width)).max(1.0))
    };
    let squares: f64 = counting.iter().map(|case| half_width(&case.case).powi(2)).sum();
    if counting.is_empty() { 0.0 } else { weight * squares.sqrt() / counting.len() as f64 }
}

fn case_score(case: &CaseMeasurement, baseline: &[Sample], pairing: Pairing, clock: Clock) -> CaseScore {
    let samples = &case.samples;
    let (ours, theirs) = match pairing {
        Pairing::Shared => (shared(samples, baseline), shared(baseline, samples)),
        Pairing::Pooled => (samples.iter().collect(), baseline.iter().collect()),
    };
    let baseline_gap = gap(theirs.iter().copied());
    let sum = |figure: fn(&Sample) -> f64| samples.iter().map(figure).sum::<f64>();
    let seconds = || samples.iter().map(|s| s.seconds);
    CaseScore {
        case: case.case.clone(),
        windows: samples.len(),
        balancedness: balance(sum(|s| s.mean_load), sum(|s| s.max_load)),
        gap: gap(samples),
        next_balancedness: next_balancedness(samples),
        seconds: median(seconds()),
        seconds_quartiles: quartiles(seconds()),
        normalised_seconds: clock.normalised(relative_time(samples)),
        normalised_quartiles: clock.normalised_quartiles(quartiles(samples.iter().map(Sample::relative_time))),
        speedup: relative_time(theirs) / relative_time(ours.iter().copied()),
        quality: (baseline_gap >= SOLVED_GAP).then(|| (1.0 - gap(ours) / baseline_gap).clamp(-1.0, 1.0)),
        worst_row_gap: samples.iter().map(|s| s.worst_row_gap).fold(0.0, f64::max),
    }
}

fn next_balancedness(samples: &[Sample]) -> Option<f64> {
    let next = || samples.iter().filter_map(|sample| sample.next);
    next().next()?;
    Some(balance(next().map(|loads| loads.mean_load).sum(), next().map(|loads| loads.max_load).sum()))
}

/// The samples on windows of which `others` has samples too.
fn shared<'a>(samples: &'a [Sample], others: &[Sample]) -> Vec<&'a Sample> {
    samples.iter().filter(|sample| others.iter().any(|other| other.window == sample.window)).collect()
}

/// Σ max load / Σ lower bound - 1; 0 without load.
pub fn gap<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> f64 {
    let sum = |(max, bound), sample: &Sample| (max + sample.max_load, bound + sample.bound);
    let (max, bound) = samples.into_iter().fold((0.0, 0.0), sum);
    balance(max, bound) - 1.0
}

/// The sum of the times relative to the sum of the reference program's. A mean and not a median, because a program that
/// spends its time on one window of four would otherwise not be charged for it.
fn relative_time<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> f64 {
    let sum = |(ours, reference), sample: &Sample| (ours + sample.seconds, reference + sample.reference_seconds);
    let (ours, reference) = samples.into_iter().fold((0.0, 0.0), sum);
    ours / reference
}

fn speed_score(cases: &[CaseScore]) -> f64 {
    let counting = cases.iter().any(|case| case.quality.is_some());
    let speeds = cases.iter().filter(|case| !counting || case.quality.is_some()).map(|case| speed_of(case.speedup));
    mean(speeds).unwrap_or(0.0).clamp(-1.0, 1.0)
}

fn speed_of(speedup: f64) -> f64 {
    if speedup > 0.0 { speedup.log10() / 3.0 } else { 0.0 }
}

fn combine(quality: Option<f64>, speed_score: f64, weights: Weights) -> f64 {
    match quality {
        Some(quality) => weights.quality * quality + weights.speed * speed_score,
        None => speed_score,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{ChainMeasurement, GpuLoads, PlannerStep};
    use crate::evaluation::{CaseInterval, NextLoads};

    const CLOCK: Clock = Clock { reference_seconds: 0.004 };

    fn sample(window: usize, gap: f64, seconds: f64) -> Sample {
        Sample {
            window,
            mean_load: 100.0,
            max_load: 100.0 * (1.0 + gap),
            bound: 100.0,
            worst_row_gap: gap,
            seconds,
            wall_seconds: seconds,
            reference_seconds: 0.004,
            ..Sample::default()
        }
    }

    fn measurement(cases: &[(&str, Vec<Sample>)]) -> Measurement {
        let case = |(case, samples): &(&str, Vec<Sample>)| CaseMeasurement {
            case: (*case).to_owned(),
            samples: samples.clone(),
        };
        Measurement { cases: cases.iter().map(case).collect(), ..Measurement::default() }
    }

    fn baseline() -> Measurement {
        measurement(&[
            ("8->4", vec![sample(0, 0.0, 0.1)]),
            ("72->8", vec![sample(0, 0.006, 0.3), sample(1, 0.006, 0.3)]),
            ("256->32", vec![sample(0, 0.03, 0.9)]),
        ])
    }

    fn against(baseline: &Measurement) -> Yardstick<'_> {
        Yardstick { baseline, objective: Weights::default().into(), pairing: Pairing::Shared }
    }

    fn unit() -> Vec<String> {
        vec!["8->4".to_owned(), "72->8".to_owned()]
    }

    #[track_caller]
    fn assert_close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9, "{left} != {right}");
    }

    #[test]
    fn a_program_that_takes_its_time_on_one_window_of_four_is_charged_for_it() {
        let windows = |dear: f64| (0..4).map(|w| sample(w, 0.006, if w == 2 { dear } else { 0.3 })).collect::<Vec<_>>();
        let baseline = measurement(&[("72->8", windows(0.3))]);
        let speedup = |dear: f64| {
            scores(&measurement(&[("72->8", windows(dear))]), against(&baseline), &[], CLOCK).cases[0].speedup
        };
        assert!((speedup(0.3) - 1.0).abs() < 1e-12);
        assert!((speedup(2.7) - 1.2 / 3.6).abs() < 1e-12, "{}", speedup(2.7));
    }

    #[test]
    fn the_baseline_scores_zero() {
        let scores = scores(&baseline(), against(&baseline()), &unit(), CLOCK);
        assert_close(scores.combined_score, 0.0);
        assert_close(scores.unit_seconds.unwrap(), 0.4);
    }

    #[test]
    fn optimal_packing_at_a_thousand_times_the_speed_scores_one() {
        let perfect = measurement(&[
            ("8->4", vec![sample(0, 0.0, 1.0)]),
            ("72->8", vec![sample(0, 0.0, 0.0003)]),
            ("256->32", vec![sample(0, 0.0, 0.0009)]),
        ]);
        assert_close(scores(&perfect, against(&baseline()), &unit(), CLOCK).combined_score, 1.0);
    }

    #[test]
    fn a_case_that_the_baseline_solves_counts_neither_for_quality_nor_for_speed() {
        let mut slow_there = baseline();
        slow_there.cases[0].samples[0].seconds = 10.0;
        let scores = scores(&slow_there, against(&baseline()), &unit(), CLOCK);
        assert_eq!(scores.cases[0].quality, None);
        assert_close(scores.speed_score, 0.0);
    }

    #[test]
    fn a_measurement_on_another_device_is_compared_with_the_baseline_there() {
        // The other device takes a third of the time of the one case, and half of that of the other.
        let on_other = |mut measurement: Measurement| {
            for (case, factor) in measurement.cases.iter_mut().zip([3.0, 2.0, 2.0]) {
                case.samples.iter_mut().for_each(|sample| sample.seconds /= factor);
            }
            measurement
        };
        let mut program = baseline();
        program.cases.iter_mut().flat_map(|case| &mut case.samples).for_each(|sample| sample.seconds /= 10.0);
        let here = scores(&program, against(&baseline()), &unit(), CLOCK);
        let elsewhere = on_other(program);
        let compared = as_on(&elsewhere, &on_other(baseline()), &baseline());
        let there = scores(&compared, against(&baseline()), &unit(), CLOCK);
        assert_close(there.combined_score, here.combined_score);
        assert_close(there.normalised_unit_seconds.unwrap(), here.normalised_unit_seconds.unwrap());
        for (there, here) in there.cases.iter().zip(&here.cases) {
            assert_close(there.speedup, 10.0);
            assert_close(there.normalised_seconds, here.normalised_seconds);
            assert_eq!((there.gap, there.balancedness), (here.gap, here.balancedness));
        }
        assert_close(there.cases[0].seconds, 0.1 / 30.0);
        // Without its own baseline it would seem faster than it is.
        assert!(scores(&elsewhere, against(&baseline()), &unit(), CLOCK).speed_score > here.speed_score + 0.05);
    }

    #[test]
    fn ratios_are_taken_over_the_windows_that_both_saw() {
        let other_window = measurement(&[("72->8", vec![sample(1, 0.003, 0.03), sample(7, 9.0, 9.0)])]);
        let score = &scores(&other_window, against(&baseline()), &unit(), CLOCK).cases[0];
        assert_close(score.quality.unwrap(), 0.5);
        assert_close(score.speedup, 10.0);
    }

    #[test]
    fn a_slow_machine_changes_no_speedup_because_the_reference_slowed_down_with_it() {
        let mut slowed = baseline();
        for sample in slowed.cases.iter_mut().flat_map(|case| &mut case.samples) {
            sample.seconds *= 3.0;
            sample.reference_seconds *= 3.0;
        }
        let slowed = scores(&slowed, against(&baseline()), &unit(), CLOCK);
        assert_close(slowed.speed_score, 0.0);
        assert_close(slowed.unit_seconds.unwrap(), 1.2);
        assert_close(slowed.normalised_unit_seconds.unwrap(), 0.4);
    }

    #[test]
    fn with_no_case_left_speed_alone_counts() {
        let solved = measurement(&[("8->4", vec![sample(0, 0.0, 0.1)])]);
        let faster = measurement(&[("8->4", vec![sample(0, 0.0, 0.001)])]);
        let scores = scores(&faster, against(&solved), &[], CLOCK);
        assert_eq!(scores.quality, None);
        assert_close(scores.combined_score, 2.0 / 3.0);
    }

    #[test]
    fn quality_is_cut_where_a_program_is_far_worse() {
        let bad = measurement(&[("72->8", vec![sample(0, 5.0, 0.3)])]);
        assert_close(scores(&bad, against(&baseline()), &[], CLOCK).quality.unwrap(), -1.0);
    }

    #[test]
    fn what_is_still_to_come_is_taken_as_perfect_and_as_fast_as_the_fastest_so_far() {
        let started = measurement(&[("8->4", vec![sample(0, 0.0, 0.1)])]);
        assert_eq!(score_at_best(&started, against(&baseline())), None);
        let half = measurement(&[("72->8", vec![sample(0, 0.006, 0.3)])]);
        assert_close(score_at_best(&half, against(&baseline())).unwrap(), 0.25);
    }

    #[test]
    fn the_interval_is_that_of_a_mean_and_nothing_for_a_single_window() {
        let one = measurement(&[("72->8", vec![sample(0, 0.003, 0.03)])]);
        assert_close(score_interval(&one, against(&baseline())), 0.0);
        let same = measurement(&[("72->8", vec![sample(0, 0.003, 0.03), sample(1, 0.003, 0.03)])]);
        assert_close(score_interval(&same, against(&baseline())), 0.0);
        // Speed scores 1/3 and 2/3 of one window each: the mean's standard error is 1/6, weighted 1/2, taken twice.
        let mut spread = same;
        spread.cases[0].samples[1].seconds = 0.003;
        let left_out = score_interval(&spread, against(&baseline()));
        assert!((left_out - 1.0 / 6.0).abs() < 1e-9, "{left_out}");
    }

    #[test]
    fn windows_that_the_baseline_never_saw_are_compared_with_its_pooled_figures() {
        let other = measurement(&[("72->8", vec![sample(7, 0.003, 0.03), sample(8, 0.003, 0.03)])]);
        let baseline = baseline();
        let yardstick = Yardstick { pairing: Pairing::Pooled, ..against(&baseline) };
        let score = &scores(&other, yardstick, &unit(), CLOCK).cases[0];
        assert_close(score.quality.unwrap(), 0.5);
        assert_close(score.speedup, 10.0);
    }

    #[test]
    fn the_error_of_the_baseline_is_in_every_interval_and_decides_between_no_two_programs() {
        let mut baseline = baseline();
        let one = measurement(&[("72->8", vec![sample(0, 0.003, 0.03)])]);
        assert_close(score_interval(&one, against(&baseline)), 0.0);
        // A factor 10 of one of the two cases that count is a third of a score, halved by the cases and by the weight.
        baseline.calibration.intervals = vec![CaseInterval { case: "72->8".to_owned(), half_width: 9.0 }];
        assert_close(score_interval(&one, against(&baseline)), 1.0 / 12.0);
        assert_close(own_interval(&one, against(&baseline)), 0.0);
    }

    /// Chains on each of which a policy loses this share of what the planner loses.
    fn policies(shares: &[f64]) -> Measurement {
        let loads = |lost: f64| GpuLoads { mean: 1.0, max: 1.0 + lost };
        let chain = |(chain, share): (usize, &f64)| {
            let planner = PlannerStep { served: loads(0.5), busiest_gpu: 0 };
            let step =
                Step { served: loads(0.5 * share), floor: 1.0, planner, gpus: 1, replicas: 1, ..Step::default() };
            ChainMeasurement { chain, steps: vec![Step { reference_seconds: 1.0, ..step }] }
        };
        Measurement { chains: shares.iter().enumerate().map(chain).collect(), ..Measurement::default() }
    }

    #[test]
    fn a_policy_has_one_score_on_any_chains_and_may_gain_less_the_more_of_them_it_has_seen() {
        let baseline = policies(&[0.9; 4]);
        let of = |pairing| Yardstick { baseline: &baseline, objective: Objective::Policy(Serving::default()), pairing };
        let mut elsewhere = policies(&[0.4, 0.6]);
        elsewhere.chains.iter_mut().for_each(|chain| chain.chain += 100);
        for pairing in [Pairing::Shared, Pairing::Pooled] {
            assert_close(scores(&elsewhere, of(pairing), &[], CLOCK).combined_score, 0.5);
        }
        let more = |shares: &[f64]| {
            let (measurement, yardstick) = (policies(shares), of(Pairing::Shared));
            let so_far = scores(&measurement, yardstick, &[], CLOCK).combined_score;
            score_at_best(&measurement, yardstick).unwrap() - so_far
        };
        assert_close(more(&[0.5]), 0.2 * 0.75f64.sqrt());
        assert_close(more(&[0.5, 0.5]), 0.1);
        // A standard deviation of 0.3 in place of the generous one.
        assert_close(more(&[0.5 - 0.18f64.sqrt() / 2.0, 0.5 + 0.18f64.sqrt() / 2.0]), 0.3);
        assert_close(more(&[0.1, 0.9, 0.2, 0.8]), 0.0);
    }

    #[test]
    fn packs_are_scored_on_the_window_after_theirs_too() {
        let mut samples = vec![sample(0, 0.0, 0.1), sample(1, 0.0, 0.3), sample(2, 0.0, 0.4), sample(3, 0.0, 0.5)];
        let alone = measurement(&[("72->8", samples.clone())]);
        assert_eq!(scores(&alone, against(&alone), &[], CLOCK).cases[0].next_balancedness, None);
        samples[0].next = Some(NextLoads { mean_load: 1.0, max_load: 2.0 });
        samples[1].next = Some(NextLoads { mean_load: 5.0, max_load: 6.0 });
        let both = measurement(&[("72->8", samples)]);
        let score = &scores(&both, against(&both), &[], CLOCK).cases[0];
        assert_close(score.next_balancedness.unwrap(), 0.75);
        assert_close(score.seconds, 0.35);
        assert_close(score.seconds_quartiles.lower, 0.25);
        assert_close(score.seconds_quartiles.upper, 0.425);
    }

    #[test]
    fn a_window_without_load_is_perfectly_balanced() {
        let mut empty = sample(0, 0.0, 0.1);
        (empty.mean_load, empty.max_load, empty.bound) = (0.0, 0.0, 0.0);
        let empty = measurement(&[("72->8", vec![empty])]);
        let scores = scores(&empty, against(&empty), &[], CLOCK);
        assert_close(scores.balancedness_score, 1.0);
        assert_close(scores.cases[0].gap, 0.0);
    }
}
