//! The protocol between harness and judge: JSON lines over one stream, a request and a reply at a time.
//!
//! The first request of a stream is [`Request::Open`], which fixes device, cases and loads; every later one is
//! [`Request::Evaluate`]. Both processes come from one build, so a different [`VERSION`] is refused, not bridged.

use std::path::PathBuf;

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::case::Case;
use crate::evaluation::{Evaluation, Measurement};
use crate::loads::Loads;
use crate::objective::Weights;
use crate::tagged::{self, Tagged};
use crate::topology::Topology;

/// Version of this protocol; part of [`Session`].
pub const VERSION: u32 = 2;

/// What the harness asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// Get ready.
    Open(Box<Session>),
    /// Judge a program.
    Evaluate(Box<EvaluateRequest>),
}

/// What the judge answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// To [`Request::Open`].
    Ready(Box<Ready>),
    /// To [`Request::Evaluate`].
    Evaluated(Box<Evaluation>),
    /// Our own machinery broke, or the request cannot be carried out; says nothing about the candidate.
    Failed {
        /// The error with its causes, lower case.
        error: String,
    },
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tagged::read(deserializer)
    }
}

impl<'de> Tagged<'de> for Reply {
    const TAG: &'static str = "reply";
    const DIRECT: &'static [&'static str] = &["evaluated"];

    fn direct<A: MapAccess<'de>>(_: &str, rest: A) -> Result<Self, A::Error> {
        tagged::entries(rest).map(Self::Evaluated)
    }

    fn any<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

/// Everything that stays the same over the evaluations of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// The CPU of this slot; judge, nursery and children are pinned to it. `None`: not pinned.
    pub cpu: Option<usize>,
    /// The interpreter with torch; `None`: the one that the judge was built with.
    pub python: Option<PathBuf>,
    /// Shape of the windows and of the unit.
    pub topology: Topology,
    /// The cases, in the order of evaluation.
    pub cases: Vec<Case>,
    /// Where the windows come from.
    pub loads: Loads,
    /// Windows of the search that each case is called on; `None`: as many as there are real ones.
    pub windows: Option<usize>,
    /// Windows held out from the search that each case is called on.
    pub held_out: usize,
    /// Key of all streams of the run.
    pub rng_seed: u64,
    /// What a child may use.
    pub limits: Limits,
    /// Whether a child must be jailed.
    pub sandbox: Sandbox,
    /// Whether a program may run compilers until it is warm.
    #[serde(default)]
    pub allow_compile: bool,
}

/// What becomes of a child when the machine cannot carry out a step of the jail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Nothing is judged.
    Required,
    /// It is judged without that step, which is recorded.
    #[default]
    BestEffort,
    /// Only the steps that judging itself needs are taken.
    Off,
}

/// What a child may use before it is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall time of one call, seconds; `None`: derived from the baseline's, see [`Limits::times`].
    pub call_seconds: Option<f64>,
    /// Wall time of a whole evaluation, seconds; `None`: derived from the baseline's.
    #[serde(default)]
    pub evaluation_seconds: Option<f64>,
    /// Wall time of loading the program, seconds.
    pub load_seconds: f64,
    /// Wall time of each step in which a program may run compilers (its loading and its first calls), seconds.
    #[serde(default = "default_compile_seconds")]
    pub compile_seconds: f64,
    /// Memory above what a fresh child uses, bytes.
    pub memory_bytes: u64,
    /// What it may print to stdout and stderr together, bytes.
    pub output_bytes: u64,
    /// Threads at a time.
    pub threads: u32,
    /// Bytes in its scratch folder; of one file, too.
    pub scratch_bytes: u64,
    /// Files and folders in its scratch folder.
    pub scratch_files: u32,
}

/// Limits of wall time for one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeLimits {
    /// Of one call, seconds.
    pub call_seconds: f64,
    /// Of the whole evaluation, seconds.
    pub evaluation_seconds: f64,
}

impl TimeLimits {
    /// For a program that others are to be compared with: nothing is known of it yet, and somebody has chosen it.
    pub const GENEROUS: Self = Self { call_seconds: 600.0, evaluation_seconds: 3600.0 };
    /// Short calls of a fast baseline say little about a machine that is busy for a moment.
    pub const LEAST: Self = Self { call_seconds: 10.0, evaluation_seconds: 60.0 };
    /// A call may take this many times the baseline's slowest. A program that trades speed for balance may still be
    /// a parent; one that is slower than that cannot make it good.
    pub const CALL_FACTOR: f64 = 40.0;
    /// An evaluation may take this many times the baseline's.
    pub const EVALUATION_FACTOR: f64 = 20.0;
}

impl Limits {
    /// The limits of wall time for a program that is compared with `baseline`, or for the baseline itself. What was
    /// set holds for both.
    pub fn times(&self, baseline: Option<&Measurement>) -> TimeLimits {
        let derived = baseline.map_or(TimeLimits::GENEROUS, |baseline| {
            let calls = baseline.cases.iter().flat_map(|case| &case.samples).map(|sample| sample.wall_seconds);
            let (call, evaluation) = (calls.fold(0.0, f64::max), baseline.evaluation_seconds);
            TimeLimits {
                call_seconds: (TimeLimits::CALL_FACTOR * call).max(TimeLimits::LEAST.call_seconds),
                evaluation_seconds: (TimeLimits::EVALUATION_FACTOR * evaluation)
                    .max(TimeLimits::LEAST.evaluation_seconds),
            }
        });
        TimeLimits {
            call_seconds: self.call_seconds.unwrap_or(derived.call_seconds),
            evaluation_seconds: self.evaluation_seconds.unwrap_or(derived.evaluation_seconds),
        }
    }
}

/// What was in force before it could be set: nothing could be compiled.
fn default_compile_seconds() -> f64 {
    120.0
}

/// The judge is ready; what the measurements are taken with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// [`VERSION`] of the judge.
    pub version: u32,
    /// The device that candidates run on: `cpu` or `cuda:N`.
    pub device: String,
    /// Name of the processor or GPU.
    pub device_name: String,
    /// Version of the interpreter.
    pub python: String,
    /// Version of torch in the child.
    pub torch: String,
    /// Threads that torch computes with there, as read back from it.
    #[serde(default)]
    pub torch_threads: u32,
    /// Windows of the search. Where there are more than a case is called on, cases have windows of their own.
    pub windows: usize,
    /// How many of them are real (or made up), the rest resampled or drifted from those.
    pub real_windows: usize,
    /// Windows held out from the search, on which what looks best is judged again.
    pub held_out_windows: usize,
    /// Digest over shapes and counts of the windows.
    pub loads_digest: String,
    /// The steps of the jail, in the order in which a child takes them.
    pub jail: Vec<JailStep>,
}

/// A step of the jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailStep {
    /// Its name, such as `seccomp`.
    pub step: String,
    /// Whether every child of this judge has taken it.
    pub in_force: bool,
    /// Why not; empty if it has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// One program to judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluateRequest {
    /// Number of the candidate; keys the order of rows and items and the seeds of its calls.
    pub candidate: u64,
    /// File name of the program, for tracebacks.
    pub file_name: String,
    /// Text of the program.
    pub program: String,
    /// Which windows it is measured on.
    pub windows: WindowSet,
    /// After one window of every case, stop when this much time was charged, seconds; `None`: all windows.
    pub budget_seconds: Option<f64>,
    /// Limits of wall time; `None`: those of a program that nothing is known of.
    #[serde(default)]
    pub limits: Option<TimeLimits>,
    /// Stop as soon as the program is plainly outclassed; `None`: never.
    pub outclassed: Option<Threshold>,
    /// Whether its whole `rebalance_experts` is measured too, after the cases: on all windows, or as many, two at
    /// least, as another `budget_seconds` allow.
    pub rebalance: bool,
}

/// The two halves of a run's windows. No window is in both, and none of one was derived from one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowSet {
    /// What the search looks at.
    Search,
    /// What it never sees.
    HeldOut,
}

/// When a program is plainly outclassed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The `combined_score` to reach.
    pub score: f64,
    /// What the score is relative to.
    pub baseline: Measurement,
    /// How the score is put together.
    pub weights: Weights,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{CaseMeasurement, Sample};

    fn limits(call_seconds: Option<f64>, evaluation_seconds: Option<f64>) -> Limits {
        Limits {
            call_seconds,
            evaluation_seconds,
            load_seconds: 30.0,
            compile_seconds: 60.0,
            memory_bytes: 1,
            output_bytes: 1,
            threads: 1,
            scratch_bytes: 1,
            scratch_files: 1,
        }
    }

    /// Calls of these wall times, in an evaluation of that.
    fn baseline(calls: &[f64], evaluation_seconds: f64) -> Measurement {
        let sample = |(window, wall_seconds): (usize, &f64)| Sample {
            window,
            mean_load: 1.0,
            max_load: 1.0,
            bound: 1.0,
            worst_row_gap: 0.0,
            seconds: 0.0,
            wall_seconds: *wall_seconds,
            reference_seconds: 0.001,
            ..Sample::default()
        };
        let samples = calls.iter().enumerate().map(sample).collect();
        let cases = vec![CaseMeasurement { case: "8->4".to_owned(), samples }];
        Measurement { cases, evaluation_seconds, ..Measurement::default() }
    }

    #[test]
    fn limits_follow_the_slowest_call_and_the_evaluation_of_the_baseline() {
        let times = limits(None, None).times(Some(&baseline(&[0.5, 2.0, 1.0], 20.0)));
        assert_eq!(times, TimeLimits { call_seconds: 80.0, evaluation_seconds: 400.0 });
    }

    #[test]
    fn a_fast_baseline_leaves_others_the_floor_and_an_unknown_one_is_given_time() {
        assert_eq!(limits(None, None).times(Some(&baseline(&[0.001], 0.1))), TimeLimits::LEAST);
        assert_eq!(limits(None, None).times(Some(&baseline(&[], 0.0))), TimeLimits::LEAST);
        assert_eq!(limits(None, None).times(None), TimeLimits::GENEROUS);
    }

    #[test]
    fn what_was_set_holds_whatever_the_baseline_takes() {
        let fixed = TimeLimits { call_seconds: 3.0, evaluation_seconds: 5.0 };
        let limits = limits(Some(3.0), Some(5.0));
        assert_eq!((limits.times(None), limits.times(Some(&baseline(&[9.0], 90.0)))), (fixed, fixed));
    }

    #[test]
    fn a_program_of_the_corpus_that_takes_nine_times_the_baseline_passes() {
        // Proposal 003 takes 14 s a call where the seed program takes 1.6 s, and 47 s a window where that takes 5 s.
        let times = limits(None, None).times(Some(&baseline(&[1.6], 22.0)));
        assert!(times.call_seconds > 2.0 * 14.0 && times.evaluation_seconds > 2.0 * 4.0 * 47.0, "{times:?}");
    }

    #[test]
    fn limits_of_a_run_of_before_they_could_be_derived_can_be_read() {
        let line = r#"{"call_seconds": 60.0, "load_seconds": 30.0, "memory_bytes": 1, "output_bytes": 1, "threads": 1,
                       "scratch_bytes": 1, "scratch_files": 1}"#;
        let limits: Limits = serde_json::from_str(line).unwrap();
        assert_eq!((limits.call_seconds, limits.evaluation_seconds), (Some(60.0), None));
    }
}
