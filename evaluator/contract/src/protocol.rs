//! The protocol between harness and judge: JSON lines over one stream, a request and a reply at a time.
//!
//! The first request of a stream is [`Request::Open`], which fixes device, cases and loads; every later one is
//! [`Request::Evaluate`]. Both processes come from one build, so a different [`VERSION`] is refused, not bridged.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::evaluation::{Evaluation, Measurement};
use crate::loads::Loads;
use crate::objective::Weights;
use crate::topology::Topology;

/// Version of this protocol; part of [`Session`].
pub const VERSION: u32 = 1;

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
#[serde(tag = "reply", rename_all = "kebab-case")]
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
    /// Windows of the search; `None`: as many as there are real ones.
    pub windows: Option<usize>,
    /// Windows held out from the search.
    pub held_out: usize,
    /// Key of all streams of the run.
    pub rng_seed: u64,
    /// What a child may use.
    pub limits: Limits,
    /// Whether a child must be jailed.
    pub sandbox: Sandbox,
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
    /// Wall time of one call, seconds.
    pub call_seconds: f64,
    /// Wall time of loading the program, seconds.
    pub load_seconds: f64,
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
    /// Windows that every evaluation goes through.
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
    /// After one window of every case, stop when this much wall time is used, seconds; `None`: all windows.
    pub budget_seconds: Option<f64>,
    /// Stop as soon as the program is plainly outclassed; `None`: never.
    pub outclassed: Option<Threshold>,
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
