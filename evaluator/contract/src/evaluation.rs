//! Evaluation: what the judge found out about one program. Raw samples only; scores are computed from them
//! ([`objective`](crate::objective)) and never stored beside them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chain::{ChainMeasurement, Step};
use crate::clock::Clock;
use crate::inconsistency::Inconsistency;
use crate::rebalance::RebalanceSample;
use crate::rejection::{Evidence, Rejection};
use crate::statistic::median;

/// One call of a case on one window: its placement scored and its time taken. Every scored call is timed and every
/// timed call is scored.
///
/// In JSON an array of the fields in this order, `next` itself an array or `null`: samples are nearly all of a journal,
/// and their keys would be more than half of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "SampleRow", into = "SampleRow")]
pub struct Sample {
    /// Number of the window in the pool of the run.
    pub window: usize,
    /// Σ over rows of the mean pack load, tokens.
    pub mean_load: f64,
    /// Σ over rows of the heaviest pack's load, tokens.
    pub max_load: f64,
    /// Σ over rows of the lower bound on the heaviest pack, tokens.
    pub bound: f64,
    /// Largest `heaviest / bound - 1` of a row; 0 for a row without load.
    pub worst_row_gap: f64,
    /// What the same packs carry on the next window; `None` for the last one of the set.
    pub next: Option<NextLoads>,
    /// Time of the call by the device's clock: CPU time of the whole child process on `cpu`, wall time on `cuda`.
    pub seconds: f64,
    /// Wall time of the call.
    pub wall_seconds: f64,
    /// Time, by the same clock, of the reference program in the same slot: the mean of right before and right after.
    pub reference_seconds: f64,
}

/// [`Sample`] as an array.
type SampleRow = (usize, f64, f64, f64, f64, Option<NextLoads>, f64, f64, f64);

impl From<SampleRow> for Sample {
    fn from(row: SampleRow) -> Self {
        let (window, mean_load, max_load, bound, worst_row_gap, next, seconds, wall_seconds, reference_seconds) = row;
        Self { window, mean_load, max_load, bound, worst_row_gap, next, seconds, wall_seconds, reference_seconds }
    }
}

impl From<Sample> for SampleRow {
    fn from(sample: Sample) -> Self {
        let Sample { window, mean_load, max_load, bound, worst_row_gap, next, .. } = sample;
        let Sample { seconds, wall_seconds, reference_seconds, .. } = sample;
        (window, mean_load, max_load, bound, worst_row_gap, next, seconds, wall_seconds, reference_seconds)
    }
}

impl Sample {
    /// Time in units of the reference program's.
    pub fn relative_time(&self) -> f64 {
        self.seconds / self.reference_seconds
    }
}

/// What a placement carries on the window after the one that it was made for: every item has become as heavy as its
/// expert, or group, is there. In JSON the array `[mean_load, max_load]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(f64, f64)", into = "(f64, f64)")]
pub struct NextLoads {
    /// Σ over rows of the mean pack load, tokens.
    pub mean_load: f64,
    /// Σ over rows of the heaviest pack's load, tokens.
    pub max_load: f64,
}

impl From<(f64, f64)> for NextLoads {
    fn from((mean_load, max_load): (f64, f64)) -> Self {
        Self { mean_load, max_load }
    }
}

impl From<NextLoads> for (f64, f64) {
    fn from(next: NextLoads) -> Self {
        (next.mean_load, next.max_load)
    }
}

/// All samples of one case, in the order they were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseMeasurement {
    /// Name of the case (`Display` of [`Case`](crate::case::Case)).
    pub case: String,
    /// One sample a window.
    pub samples: Vec<Sample>,
}

/// A pair of calls that was made again on the same window, because the reference program was too far off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Voided {
    /// Name of the case.
    pub case: String,
    /// What was measured. The first voided sample of a case and window was its first attempt, and so on. The sample
    /// that counts came after all of them, unless the case was measured several times on its windows, as the baseline is.
    pub sample: Sample,
}

/// The reference times of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Times of the reference program before any code of the candidate was there, seconds.
    pub before: Vec<f64>,
    /// Its times after the last of it was gone, seconds.
    pub after: Vec<f64>,
    /// Its times in calibrations that were made again in between, because of pairs that seemed void, seconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<f64>,
    /// Pairs that do not count.
    pub voided: Vec<Voided>,
    /// Cases whose number of voids reached its cap, and chains too many of whose steps were disturbed: the slot stayed
    /// disturbed, and what was measured then counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubtful: Vec<String>,
    /// Of the baseline: for each case, how far its time relative to the reference program may be off. Empty for other
    /// programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intervals: Vec<CaseInterval>,
}

/// How well the relative time of a case is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseInterval {
    /// Name of the case.
    pub case: String,
    /// Half the width of the interval, two standard errors of the time relative to the reference program, as a share of
    /// it.
    pub half_width: f64,
}

/// Times that exist only on a GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GpuTimes {
    /// Wall time in which each child created its CUDA context, before it loaded the program, seconds.
    pub context_seconds: Vec<f64>,
    /// Time between CUDA events around the calls, as the children report it: not trusted, and never scored.
    pub reported: Vec<ReportedTime>,
}

/// A time that a child reports for a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedTime {
    /// Name of the case.
    pub case: String,
    /// Number of the window.
    pub window: usize,
    /// Time on the device, seconds.
    pub seconds: f64,
}

/// What was measured of a program that kept its contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measurement {
    /// In the order of the cases of the run; cases without a sample are absent.
    pub cases: Vec<CaseMeasurement>,
    /// The calls of `rebalance_experts`, window after window; empty if they were not asked for, or if the program has
    /// no such function.
    pub rebalance: Vec<RebalanceSample>,
    /// The chains of rebalances of a run whose target is the whole policy; there are no cases then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chains: Vec<ChainMeasurement>,
    /// Time of the very first call in the child, on a small shape, by the device's clock.
    pub first_call_seconds: f64,
    /// Wall time of that call, in which a compiler may have been at work.
    pub first_call_wall_seconds: f64,
    /// Time charged for all calls that are verified but not scored, that one among them, seconds.
    pub trial_seconds: f64,
    /// The reference times.
    pub calibration: Calibration,
    /// `None` on a CPU.
    pub gpu: Option<GpuTimes>,
    /// What the program compiled with Numba; `None` if it does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compilation: Option<Compilation>,
    /// Largest memory seen above what a fresh child uses.
    pub peak_memory_bytes: u64,
    /// Wall time of the whole evaluation: with all that the program compiles, and with all that it waits for.
    pub evaluation_seconds: f64,
}

/// What a program compiled in its own process, as that process reports it: no score uses it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compilation {
    /// How many functions the first child compiled before it saw a scored load.
    pub functions: u32,
    /// How long that took, seconds.
    pub seconds: f64,
    /// The number of scored calls that compiled again, and were charged for it.
    pub in_scored_calls: u32,
}

/// How an evaluation ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", content = "data", rename_all = "kebab-case")]
pub enum Evaluation {
    /// One window of every case at least.
    Measured {
        /// What was measured.
        measurement: Measurement,
    },
    /// It kept its contract, but its answers depend on the process or on other rows.
    Inconsistent {
        /// In what way, at least one.
        inconsistencies: Vec<Inconsistency>,
        /// What was measured: everything, or, if the request wants no more, what came before the check.
        measurement: Measurement,
    },
    /// Stopped early: by a generous estimate it would have scored below the threshold of the request.
    Outclassed {
        /// What was measured until then.
        measurement: Measurement,
        /// That estimate, see [`score_at_best`](crate::objective::score_at_best).
        at_best: f64,
    },
    /// It broke its contract: no measurements, no score.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// What was seen.
        evidence: Evidence,
    },
}

impl Evaluation {
    /// The measurement of a program that was fully measured and is consistent.
    pub fn measured(&self) -> Option<&Measurement> {
        if let Self::Measured { measurement } = self { Some(measurement) } else { None }
    }

    /// The measurements, including those of an inconsistent program and the partial ones of an outclassed program.
    pub fn measurement(&self) -> Option<&Measurement> {
        match self {
            Self::Measured { measurement }
            | Self::Inconsistent { measurement, .. }
            | Self::Outclassed { measurement, .. } => Some(measurement),
            Self::Rejected { .. } => None,
        }
    }

    /// As [`measurement`](Self::measurement), to be completed.
    pub fn measurement_mut(&mut self) -> Option<&mut Measurement> {
        match self {
            Self::Measured { measurement }
            | Self::Inconsistent { measurement, .. }
            | Self::Outclassed { measurement, .. } => Some(measurement),
            Self::Rejected { .. } => None,
        }
    }

    /// How long a judge was busy with it, seconds of wall time, however it ended.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::Rejected { evidence, .. } => evidence.seconds,
            Self::Measured { measurement }
            | Self::Inconsistent { measurement, .. }
            | Self::Outclassed { measurement, .. } => measurement.evaluation_seconds,
        }
    }

    pub fn rejection(&self) -> Option<&Rejection> {
        if let Self::Rejected { rejection, .. } = self { Some(rejection) } else { None }
    }
}

impl Measurement {
    /// The samples of the case of that name; empty if it was not measured.
    pub fn samples(&self, case: &str) -> &[Sample] {
        self.cases.iter().find(|measured| measured.case == case).map_or(&[], |measured| &measured.samples)
    }

    pub fn all_samples(&self) -> impl Iterator<Item = &Sample> {
        self.cases.iter().flat_map(|case| &case.samples)
    }

    /// The names of its cases and chains.
    pub fn names(&self) -> Vec<String> {
        let cases = self.cases.iter().map(|case| case.case.clone());
        cases.chain(self.chains.iter().map(ChainMeasurement::name)).collect()
    }

    /// The steps of all chains.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.chains.iter().flat_map(|chain| &chain.steps)
    }

    /// The numbers of all windows, or of all chains, that it has samples of, in order.
    pub fn windows(&self) -> Vec<usize> {
        let windows = self.all_samples().map(|sample| sample.window);
        BTreeSet::from_iter(windows.chain(self.chains.iter().map(|chain| chain.chain))).into_iter().collect()
    }

    /// How many samples its cases have, the most of them. The samples of one place in their cases are a round; so is a
    /// chain.
    pub fn rounds(&self) -> usize {
        self.cases.iter().map(|case| case.samples.len()).max().unwrap_or(self.chains.len())
    }

    /// The reference times beside its calls.
    pub fn references(&self) -> impl Iterator<Item = f64> {
        let of_steps = self.all_steps().map(|step| step.reference_seconds);
        self.all_samples().map(|sample| sample.reference_seconds).chain(of_steps)
    }

    /// The wall times of its calls, seconds.
    pub fn walls(&self) -> impl Iterator<Item = f64> {
        self.all_samples().map(|sample| sample.wall_seconds).chain(self.all_steps().map(|step| step.wall_seconds))
    }

    /// The same with the reference times that count.
    ///
    /// On a GPU the reference program runs while the candidate's process is stopped, but work that the candidate queued
    /// on the device may continue and slow it down. So the reference times count for at most, in the median, the slower
    /// of those before the candidate came and after it was gone. A stopped process does nothing to a CPU.
    #[must_use]
    pub fn credited(&self) -> Cow<'_, Self> {
        let Calibration { before, after, .. } = &self.calibration;
        let calibrated = median(before.iter().copied()).max(median(after.iter().copied()));
        let credit = |during: f64| if during > calibrated { calibrated / during } else { 1.0 };
        let of_cases = credit(median(self.references()));
        let of_rebalances = credit(median(self.rebalance.iter().map(|sample| sample.reference_seconds)));
        if self.gpu.is_none() || calibrated == 0.0 || (of_cases == 1.0 && of_rebalances == 1.0) {
            return Cow::Borrowed(self);
        }
        let mut credited = self.clone();
        for sample in credited.cases.iter_mut().flat_map(|case| &mut case.samples) {
            sample.reference_seconds *= of_cases;
        }
        for step in credited.chains.iter_mut().flat_map(|chain| &mut chain.steps) {
            step.reference_seconds *= of_cases;
        }
        for sample in &mut credited.rebalance {
            sample.reference_seconds *= of_rebalances;
        }
        Cow::Owned(credited)
    }

    /// How many rounds all its cases have.
    pub fn full_rounds(&self) -> usize {
        self.cases.iter().map(|case| case.samples.len()).min().unwrap_or(self.chains.len())
    }

    /// The same with the samples of one round only.
    #[must_use]
    pub fn only_round(&self, round: usize) -> Self {
        let of_round = |CaseMeasurement { case, samples }: &CaseMeasurement| CaseMeasurement {
            case: case.clone(),
            samples: samples.get(round).cloned().into_iter().collect(),
        };
        Self {
            cases: self.cases.iter().map(of_round).collect(),
            chains: self.chains.get(round).cloned().into_iter().collect(),
            calibration: self.calibration.clone(),
            ..Self::default()
        }
    }

    /// The same without the samples of one round.
    #[must_use]
    pub fn without_round(&self, round: usize) -> Self {
        let mut rest = self.clone();
        for case in rest.cases.iter_mut().filter(|case| round < case.samples.len()) {
            case.samples.remove(round);
        }
        if round < rest.chains.len() {
            rest.chains.remove(round);
        }
        rest
    }

    /// The clock of a run that began with this measurement of its baseline: the reference program takes what it took
    /// right before it; without a calibration, the median of what it took beside its calls.
    pub fn clock(&self) -> Clock {
        let before = &self.calibration.before;
        Clock {
            reference_seconds: if before.is_empty() {
                median(self.references())
            } else {
                median(before.iter().copied())
            },
        }
    }

    /// Whether the slot stayed disturbed while a case was measured.
    pub fn is_doubtful(&self) -> bool {
        !self.calibration.doubtful.is_empty()
    }

    /// The samples of both, which were taken on different windows of the same cases, each as it was credited.
    #[must_use]
    pub fn pooled(&self, other: &Self) -> Self {
        let (mut both, other) = (self.credited().into_owned(), other.credited());
        // They were calibrated apart.
        let doubtful = both.calibration.doubtful.iter().chain(&other.calibration.doubtful).cloned().collect();
        both.calibration = Calibration { doubtful, ..Calibration::default() };
        for case in &mut both.cases {
            case.samples.extend_from_slice(other.samples(&case.case));
        }
        both.rebalance.extend_from_slice(&other.rebalance);
        both.chains.extend_from_slice(&other.chains);
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebalance::{PlanLoads, Policy};

    #[test]
    fn a_sample_is_an_array_and_reads_back_as_it_was() {
        let last = Sample { window: 3, mean_load: 1.5, max_load: 2.0, bound: 1.75, ..Sample::default() };
        let sample = Sample { next: Some(NextLoads { mean_load: 4.0, max_load: 5.0 }), ..last.clone() };
        let json = |sample: &Sample| serde_json::to_string(sample).unwrap();
        assert_eq!(json(&sample), "[3,1.5,2.0,1.75,0.0,[4.0,5.0],0.0,0.0,0.0]");
        assert_eq!(json(&last), "[3,1.5,2.0,1.75,0.0,null,0.0,0.0,0.0]");
        for sample in [last, sample] {
            assert_eq!(serde_json::from_str::<Sample>(&json(&sample)).unwrap(), sample);
        }
    }

    fn measured(references: &[f64], before: f64, after: f64) -> Measurement {
        let sample = |(window, reference_seconds): (usize, &f64)| Sample {
            window,
            mean_load: 1.0,
            max_load: 1.0,
            bound: 1.0,
            worst_row_gap: 0.0,
            seconds: 0.01,
            wall_seconds: 0.01,
            reference_seconds: *reference_seconds,
            ..Sample::default()
        };
        let samples = references.iter().enumerate().map(sample).collect();
        let gpu = GpuTimes { context_seconds: Vec::new(), reported: Vec::new() };
        Measurement {
            cases: vec![CaseMeasurement { case: "8->4".to_owned(), samples }],
            calibration: Calibration { before: vec![before; 3], after: vec![after; 3], ..Calibration::default() },
            gpu: Some(gpu),
            ..Measurement::default()
        }
    }

    fn credited(measurement: &Measurement) -> Vec<f64> {
        measurement.credited().samples("8->4").iter().map(|sample| sample.reference_seconds).collect()
    }

    #[test]
    fn the_clock_of_a_run_goes_by_the_reference_before_its_baseline() {
        let mut baseline = measured(&[8.0, 8.0, 9.0], 2.0, 5.0);
        assert_eq!(baseline.clock().normalised(3.0), 6.0);
        baseline.calibration = Calibration::default();
        assert_eq!(baseline.clock().normalised(0.5), 4.0);
    }

    #[test]
    fn a_candidate_that_slows_the_reference_on_a_gpu_gains_nothing() {
        // Half as fast while the candidate was there, and neither before nor after.
        assert_eq!(credited(&measured(&[4.0, 4.0, 8.0], 2.0, 2.0)), [2.0, 2.0, 4.0]);
        let on_cpu = Measurement { gpu: None, ..measured(&[4.0, 4.0, 8.0], 2.0, 2.0) };
        assert_eq!(credited(&on_cpu), [4.0, 4.0, 8.0]);
    }

    #[test]
    fn a_gpu_that_became_slow_for_everybody_is_credited_as_it_was() {
        assert_eq!(credited(&measured(&[4.0, 4.0, 8.0], 2.0, 4.0)), [4.0, 4.0, 8.0]);
        assert_eq!(credited(&measured(&[1.0, 1.0, 1.0], 2.0, 2.0)), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn rebalances_beside_a_slowed_reference_are_credited_like_calls() {
        let rebalance = |reference_seconds| RebalanceSample {
            policy: Policy::Global,
            window: 0,
            now: PlanLoads::default(),
            next: None,
            moved: None,
            replicas: 8,
            seconds: 0.01,
            wall_seconds: 0.01,
            reference_seconds,
        };
        let slowed =
            Measurement { rebalance: [4.0, 8.0].map(rebalance).to_vec(), ..measured(&[2.0, 2.0, 2.0], 2.0, 2.0) };
        let times: Vec<f64> = slowed.credited().rebalance.iter().map(|sample| sample.reference_seconds).collect();
        assert_eq!(times, [4.0 / 3.0, 8.0 / 3.0]);
        assert_eq!(credited(&slowed), [2.0, 2.0, 2.0]);
    }

    #[test]
    fn what_is_pooled_was_credited_apart() {
        let (slowed, honest) = (measured(&[4.0], 2.0, 2.0), measured(&[3.0], 3.0, 3.0));
        assert_eq!(credited(&slowed.pooled(&honest)), [2.0, 3.0]);
    }
}
