//! The protocol between harness and judge: JSON lines over the judge's standard input and output, one request and one
//! reply at a time. The judge may run on another machine, below programs such as `srun` or `ssh`, so nothing else passes
//! between the two.
//!
//! The judge begins with [`Reply::Hello`]; what comes before that line is not the judge's. The first request is
//! [`Request::Open`], which sets device, cases and loads. The judge asks for the loads that it does not find
//! ([`Reply::Wants`]), chunk by chunk, and is then [`Reply::Ready`] for [`Request::Evaluate`], [`Request::Duel`] and
//! [`Request::Plan`].
//! Harness and judge reject any other [`VERSION`] than their own.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::duel::Duel;
use crate::evaluation::{Evaluation, Measurement};
use crate::loads::LoadsFile;
use crate::objective::Objective;
use crate::planning::{Planned, Rebalance};
use crate::topology::Topology;

/// Version of this protocol; part of [`Session`].
pub const VERSION: u32 = 10;

/// Between two signs of life of a judge at work.
pub const ALIVE_SECONDS: u64 = 10;

/// The most bytes of loads in one request.
pub const CHUNK: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", content = "data", rename_all = "kebab-case")]
pub enum Request {
    Open(Box<Session>),
    /// Answers [`Reply::Wants`].
    Chunk(Chunk),
    Evaluate(Box<EvaluateRequest>),
    Duel(Box<DuelRequest>),
    Plan(Box<PlanRequest>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "data", rename_all = "kebab-case")]
pub enum Reply {
    /// The first line, to no request.
    Hello {
        /// [`VERSION`] of the judge.
        version: u32,
    },
    /// To no request, every [`ALIVE_SECONDS`] while one has no answer: so the harness hears of a machine or a network that
    /// is gone.
    Alive,
    /// To [`Request::Open`] and [`Request::Chunk`]: a part of a file of the session.
    Wants {
        /// The digest of the file.
        digest: String,
        /// Where the part begins, bytes.
        offset: u64,
    },
    /// To [`Request::Open`], or to the last [`Request::Chunk`].
    Ready(Box<Ready>),
    /// To [`Request::Evaluate`].
    Evaluated(Box<Evaluation>),
    /// To [`Request::Duel`].
    Dueled(Box<Duel>),
    /// To [`Request::Plan`].
    Planned(Box<Planned>),
    /// The judge broke, or cannot serve the request; the candidate is not to blame.
    Failed {
        /// The error with its causes.
        error: String,
        /// A way to fix it.
        hint: Option<String>,
        /// Whether the machine lacked something at that moment, so that the same request may succeed later.
        may_pass: bool,
    },
}

/// The settings that all evaluations of a run share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// [`VERSION`] of the sender.
    pub version: u32,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// The CPU of this slot, to which judge, nursery and children are pinned: its place among those that the judge may
    /// use, counted round. `None`: the one on which the judge runs.
    pub cpu: Option<usize>,
    /// An interpreter with torch; `None`: the one that the judge was built with.
    pub python: Option<PathBuf>,
    pub topology: Topology,
    /// In the order of evaluation; none if whole policies are measured.
    pub cases: Vec<Case>,
    /// The number of windows of a chain, if whole policies are measured, on chains of windows: `windows` and `held_out` are
    /// numbers of chains then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_windows: Option<usize>,
    /// `None`: made up.
    pub loads: Option<Vec<LoadsFile>>,
    /// Keys the windows that are made up or derived, and draws those that are held out.
    pub loads_seed: u64,
    /// The number of the search's windows on which each case is called; `None`: all real ones.
    pub windows: Option<usize>,
    /// The number of windows, for each case, from which those of duels are derived. The search never sees them.
    pub held_out: usize,
    /// Keys all other random streams of the run.
    pub rng_seed: u64,
    pub limits: Limits,
    pub sandbox: Sandbox,
    /// Whether a program may run compilers while it warms up.
    pub allow_compile: bool,
}

/// A part of a file of loads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// The digest of the file.
    pub digest: String,
    /// Where the part begins, bytes.
    pub offset: u64,
    /// At most [`CHUNK`] bytes, in hex.
    pub bytes: String,
}

/// What the judge does if the machine cannot take a step of the jail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// Refuses to run.
    Required,
    /// Runs candidates without that step, and records it.
    #[default]
    BestEffort,
    /// Takes only the steps that the judge itself needs.
    Off,
}

/// The limits of a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// Wall time of a call, seconds; `None`: derived from the baseline's, see [`Limits::times`].
    pub call_seconds: Option<f64>,
    /// Wall time of an evaluation, seconds; `None`: derived from the baseline's.
    pub evaluation_seconds: Option<f64>,
    /// Wall time of loading the program, seconds.
    pub load_seconds: f64,
    /// Wall time of each step in which a program may run compilers (loading and first calls), seconds.
    pub compile_seconds: f64,
    /// Memory above that of a fresh child, bytes.
    pub memory_bytes: u64,
    /// Output to stdout and stderr together, bytes.
    pub output_bytes: u64,
    pub threads: u32,
    /// Size of the scratch folder, and of each file, bytes.
    pub scratch_bytes: u64,
    /// Number of files and folders in the scratch folder.
    pub scratch_files: u32,
}

/// The wall-time limits of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeLimits {
    pub call_seconds: f64,
    pub evaluation_seconds: f64,
}

impl TimeLimits {
    /// For the baseline, whose speed is still unknown.
    pub const GENEROUS: Self = Self { call_seconds: 600.0, evaluation_seconds: 3600.0 };
    /// A floor, because a busy machine may delay the short calls of a fast baseline.
    pub const LEAST: Self = Self { call_seconds: 10.0, evaluation_seconds: 60.0 };
    /// A call may take this many times the baseline's slowest. A program that trades speed for balance may still be a
    /// parent; no balance makes up for more.
    pub const CALL_FACTOR: f64 = 40.0;
    /// An evaluation may take this many times the baseline's.
    pub const EVALUATION_FACTOR: f64 = 20.0;
}

impl Limits {
    /// The wall-time limits of a program that is compared with `baseline`, or of the baseline itself (`None`). Limits
    /// that are set apply to both.
    pub fn times(&self, baseline: Option<&Measurement>) -> TimeLimits {
        let least = TimeLimits::LEAST;
        let derived = baseline.map_or(TimeLimits::GENEROUS, |baseline| TimeLimits {
            call_seconds: baseline
                .walls()
                .map(|seconds| TimeLimits::CALL_FACTOR * seconds)
                .fold(least.call_seconds, f64::max),
            evaluation_seconds: least
                .evaluation_seconds
                .max(TimeLimits::EVALUATION_FACTOR * baseline.evaluation_seconds),
        });
        TimeLimits {
            call_seconds: self.call_seconds.unwrap_or(derived.call_seconds),
            evaluation_seconds: self.evaluation_seconds.unwrap_or(derived.evaluation_seconds),
        }
    }
}

/// What the judge measures with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    pub version: u32,
    /// Architecture and system, such as `x86_64-linux`.
    pub target: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The name of the processor or GPU.
    pub device_name: String,
    /// The version of Python.
    pub python: String,
    /// The version of torch that programs use.
    pub torch: String,
    /// The version of torch that the judge itself uses; empty if it does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub judge_torch: String,
    /// The version of NumPy that programs use; empty if the judge does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub numpy: String,
    /// The version of Numba; `None` if Python has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numba: Option<String>,
    /// The number of threads that torch uses, as torch reports it.
    pub torch_threads: u32,
    /// The number of the search's windows. If there are enough, cases have windows of their own.
    pub windows: usize,
    /// How many of them are real or made up; the others are derived from those.
    pub real_windows: usize,
    /// The number of held-out windows, from which the windows of duels are derived.
    pub held_out_windows: usize,
    /// Digest over shapes and counts of the windows.
    pub loads_digest: String,
    /// What the reader of the loads left out or assumed, and what contradicts the topology.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loads_notes: Vec<String>,
    /// The steps of the jail, in the order in which a child takes them.
    pub jail: Vec<JailStep>,
    /// The GPUs that CUDA offers, whether the session is on one of them or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Gpu>,
    /// Why `auto` is the CPU although the machine has a GPU, or should have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_gpu: Option<String>,
}

/// A GPU of the judge's machine, or a slice of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gpu {
    /// `cuda:N`
    pub device: String,
    pub name: String,
    /// The versions of driver and CUDA.
    pub driver: String,
}

/// A step of the jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JailStep {
    /// Such as `seccomp`.
    pub step: String,
    /// Whether every child takes it.
    pub in_force: bool,
    /// Why it is left out; empty if it is not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluateRequest {
    /// The number of the candidate, which keys the permutations and seeds of its calls.
    pub candidate: u64,
    /// The file name that tracebacks show.
    pub file_name: String,
    pub program: String,
    /// Stops after this much charged time, seconds, but not before each case had a window; `None`: all windows.
    pub budget_seconds: Option<f64>,
    /// Wall-time limits; `None`: those of a baseline.
    pub limits: Option<TimeLimits>,
    /// Stops once the program is outclassed; `None`: never.
    pub outclassed: Option<Threshold>,
    /// Whether to measure an inconsistent program in full nevertheless.
    pub measures_inconsistent: bool,
    /// Whether it is the baseline: the judge measures until the interval of each case's time is small, and records it.
    pub is_baseline: bool,
    /// Whether to measure `rebalance_experts` too, after the cases, on the held-out windows, or on those of the search if
    /// there are none: on all, or on as many as another `budget_seconds` allows, at least two.
    pub rebalance: bool,
    /// Whether the program consists of building blocks alone, which the judge can trust: it keeps what these compile for the
    /// same functions of other programs.
    pub is_of_blocks: bool,
}

/// A duel of two programs (see [`duel`](crate::duel)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DuelRequest {
    pub contender: Duelist,
    pub best: Duelist,
    /// The file name that tracebacks show.
    pub file_name: String,
    /// Keys the windows, the permutations and the seeds of this duel.
    pub seed: u64,
    /// Ends no earlier, unless the time is used up.
    pub least_rounds: usize,
    /// Ends here if it is undecided.
    pub most_rounds: usize,
    /// Starts no further round after this much charged time of both programs, seconds; `None`: no limit.
    pub budget_seconds: Option<f64>,
    pub limits: TimeLimits,
    /// The measurement that scores are relative to.
    pub baseline: Measurement,
    pub objective: Objective,
    /// Whether to measure `rebalance_experts` of the contender too, unless it loses, as in an [`EvaluateRequest`].
    pub rebalance: bool,
}

/// One of the two programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Duelist {
    /// The number of the candidate.
    pub candidate: u64,
    pub program: String,
}

/// Calls of a program's `rebalance_experts` for their plans. Nothing is compared with a baseline, and the calls bring their
/// own loads and topologies: the session needs no cases and no loads, and a single window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// The file name that tracebacks show.
    pub file_name: String,
    pub program: String,
    /// Wall-time limits; `None`: those of a baseline.
    pub limits: Option<TimeLimits>,
    /// At least one.
    pub calls: Vec<Rebalance>,
    /// How often each call is timed, at least once.
    pub repeats: usize,
    /// Whether to ask other processes for the same plans, and one for layers in another order and alone: of the first
    /// call in any case, of the others as far as time allows.
    pub checks_consistency: bool,
}

/// A program is outclassed if its estimated score cannot reach this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The `combined_score` to reach.
    pub score: f64,
    /// The measurement that scores are relative to.
    pub baseline: Measurement,
    pub objective: Objective,
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

    /// Calls of these wall times, in an evaluation of that duration.
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
    fn a_fast_baseline_leaves_the_floor_and_an_unknown_one_is_generous() {
        assert_eq!(limits(None, None).times(Some(&baseline(&[0.001], 0.1))), TimeLimits::LEAST);
        assert_eq!(limits(None, None).times(Some(&baseline(&[], 0.0))), TimeLimits::LEAST);
        assert_eq!(limits(None, None).times(None), TimeLimits::GENEROUS);
    }

    #[test]
    fn limits_that_are_set_apply_with_any_baseline() {
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
}
