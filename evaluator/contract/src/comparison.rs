//! Comparison: two programs measured in one session. Both received the same rows, items and seeds on each window, and
//! the time of each call is relative to the reference program's, so their samples form pairs.

use std::collections::BTreeSet;
use std::slice;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evaluation::{CaseMeasurement, Measurement, Sample};
use crate::objective;
use crate::rebalance::Policy;
use crate::statistic::{mean, two_standard_errors};

/// A ratio with an interval of two standard errors on either side, on a logarithmic scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ratio {
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

/// One case of both programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedCase {
    /// Name of the case.
    pub case: String,
    /// The number of windows that both programs share.
    pub windows: usize,
    /// Gap of the program, over those windows.
    pub gap: f64,
    /// Gap of the other, over those windows.
    pub gap_against: f64,
    /// How many times as fast as the other program this one is.
    pub speedup: Ratio,
}

/// `rebalance_experts` of both programs, by one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparedRebalance {
    pub policy: Policy,
    /// How many times as fast as the other program this one is.
    pub speedup: Ratio,
}

/// A program compared with another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// In the order of the cases of the run.
    pub cases: Vec<ComparedCase>,
    /// The geometric mean over the cases.
    pub speedup: Ratio,
    /// By policy; empty if one of the two has no such measurement.
    pub rebalance: Vec<ComparedRebalance>,
}

/// The logarithmic speedup on a window, in a round.
struct Pair {
    window: usize,
    round: usize,
    log_speedup: f64,
}

/// Compares `ours` with `theirs` on their shared windows; `None` if they share no window of any case.
pub fn compare(ours: &Measurement, theirs: &Measurement) -> Option<Comparison> {
    let time = |sample: &Sample| (sample.window, sample.relative_time());
    let pairs_of =
        |case: &CaseMeasurement| pairs(case.samples.iter().map(time), theirs.samples(&case.case).iter().map(time));
    let groups: Vec<Vec<Pair>> = ours.cases.iter().map(pairs_of).collect();
    let cases = ours.cases.iter().zip(&groups).filter_map(|(CaseMeasurement { case, .. }, pairs)| {
        let is_shared = |sample: &&Sample| pairs.iter().any(|pair| pair.window == sample.window);
        let gap = |of: &Measurement| objective::gap(of.samples(case).iter().filter(is_shared));
        Some(ComparedCase {
            case: case.clone(),
            windows: pairs.len(),
            gap: gap(ours),
            gap_against: gap(theirs),
            speedup: ratio(slice::from_ref(pairs))?,
        })
    });
    let speedup = ratio(&groups)?;
    Some(Comparison { cases: cases.collect(), speedup, rebalance: compared_rebalance(ours, theirs) })
}

fn compared_rebalance(ours: &Measurement, theirs: &Measurement) -> Vec<ComparedRebalance> {
    let compared = |policy: Policy| {
        let times = |of: &Measurement| -> Vec<(usize, f64)> {
            let samples = of.rebalance.iter().filter(|sample| sample.policy == policy);
            samples.map(|sample| (sample.window, sample.relative_time())).collect()
        };
        let pairs = pairs(times(ours).into_iter(), times(theirs).into_iter());
        Some(ComparedRebalance { policy, speedup: ratio(&[pairs])? })
    };
    Policy::ALL.into_iter().filter_map(compared).collect()
}

/// The pairs of a case or a policy, from the windows and relative times of its samples.
fn pairs(ours: impl Iterator<Item = (usize, f64)>, theirs: impl Iterator<Item = (usize, f64)>) -> Vec<Pair> {
    let theirs: Vec<(usize, f64)> = theirs.collect();
    let pair = |(round, (window, time)): (usize, (usize, f64))| {
        let (_, other) = theirs.iter().find(|(other, _)| *other == window)?;
        Some(Pair { window, round, log_speedup: (other / time).ln() })
    };
    ours.enumerate().filter_map(pair).collect()
}

/// The geometric mean over groups of their geometric means over windows, with its interval by the jackknife over rounds;
/// `None` without pairs.
fn ratio(groups: &[Vec<Pair>]) -> Option<Ratio> {
    let log = log_ratio(groups, |_| true)?;
    let rounds: BTreeSet<usize> = groups.iter().flatten().map(|pair| pair.round).collect();
    let without = |round: usize| log_ratio(groups, |pair| pair.round != round);
    let left_out: Vec<f64> = rounds.into_iter().filter_map(without).collect();
    let half = two_standard_errors(&left_out);
    Some(Ratio { ratio: log.exp(), low: (log - half).exp(), high: (log + half).exp() })
}

fn log_ratio(groups: &[Vec<Pair>], counts: impl Fn(&Pair) -> bool) -> Option<f64> {
    let of_group = |pairs: &Vec<Pair>| mean(pairs.iter().filter(|pair| counts(pair)).map(|pair| pair.log_speedup));
    mean(groups.iter().filter_map(of_group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Sample;
    use crate::rebalance::{PlanLoads, RebalanceSample};

    #[track_caller]
    fn assert_close(left: f64, right: f64) {
        assert!((left - right).abs() < 1e-9 * right.abs().max(1.0), "{left} != {right}");
    }

    fn sample(window: usize, gap: f64, seconds: f64) -> Sample {
        let (bound, reference_seconds) = (100.0, 0.5);
        Sample { window, max_load: bound * (1.0 + gap), bound, seconds, reference_seconds, ..Sample::default() }
    }

    fn measurement(cases: &[(&str, Vec<Sample>)]) -> Measurement {
        let case = |(case, samples): &(&str, Vec<Sample>)| CaseMeasurement {
            case: (*case).to_owned(),
            samples: samples.clone(),
        };
        Measurement { cases: cases.iter().map(case).collect(), ..Measurement::default() }
    }

    #[test]
    fn pairs_are_of_the_windows_that_both_have() {
        let ours =
            measurement(&[("a", vec![sample(0, 0.1, 1.0), sample(1, 0.3, 1.0)]), ("b", vec![sample(0, 0.0, 1.0)])]);
        let theirs = measurement(&[("a", vec![sample(1, 0.5, 4.0), sample(2, 9.0, 9.0)]), ("c", vec![])]);
        let compared = compare(&ours, &theirs).unwrap();
        let [case] = &compared.cases[..] else { panic!("{compared:?}") };
        assert_eq!((case.case.as_str(), case.windows), ("a", 1));
        assert_close(case.gap, 0.3);
        assert_close(case.gap_against, 0.5);
        assert_close(case.speedup.ratio, 4.0);
        assert_eq!((case.speedup.low, case.speedup.high), (case.speedup.ratio, case.speedup.ratio));
        assert_eq!(compared.speedup, case.speedup);
        assert_eq!(compare(&ours, &measurement(&[])), None);
    }

    #[test]
    fn the_interval_is_two_standard_errors_of_the_mean_logarithm() {
        let ours = measurement(&[("a", (0..3).map(|window| sample(window, 0.0, 1.0)).collect())]);
        let theirs = measurement(&[("a", (0..3).map(|window| sample(window, 0.0, (window as f64).exp())).collect())]);
        let speedup = compare(&ours, &theirs).unwrap().speedup;
        // Logarithms 0, 1, 2.
        assert_close(speedup.ratio, 1f64.exp());
        assert_close(speedup.high, (1.0 + 2.0 / 3f64.sqrt()).exp());
        assert_close(speedup.low, (1.0 - 2.0 / 3f64.sqrt()).exp());
    }

    #[test]
    fn every_case_counts_alike_in_all() {
        let one = |seconds: [f64; 2]| {
            measurement(&[("a", vec![sample(0, 0.0, seconds[0])]), ("b", vec![sample(0, 0.0, seconds[1])])])
        };
        assert_close(compare(&one([1.0, 1.0]), &one([2.0, 8.0])).unwrap().speedup.ratio, 4.0);
    }

    #[test]
    fn rebalances_are_compared_by_policy() {
        let rebalance = |policy, seconds| RebalanceSample {
            policy,
            window: 0,
            now: PlanLoads::default(),
            next: None,
            moved: None,
            replicas: 1,
            seconds,
            wall_seconds: seconds,
            reference_seconds: 1.0,
        };
        let with =
            |seconds, rebalance| Measurement { rebalance, ..measurement(&[("a", vec![sample(0, 0.0, seconds)])]) };
        let ours = with(1.0, vec![rebalance(Policy::Hierarchical, 1.0), rebalance(Policy::Global, 2.0)]);
        let theirs = with(1.0, vec![rebalance(Policy::Global, 6.0)]);
        let compared = compare(&ours, &theirs).unwrap().rebalance;
        assert_eq!(compared.len(), 1);
        assert_eq!(compared[0].policy, Policy::Global);
        assert_close(compared[0].speedup.ratio, 3.0);
    }
}
