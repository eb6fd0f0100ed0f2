//! Rejection: why a candidate has no measurement, with the evidence. A rejection is a result, not an error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use thiserror::Error;

/// Why a candidate was rejected. The message describes what the candidate did, in terms of its contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Error, IntoStaticStr, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Rejection {
    /// The program could not be loaded: a syntax error, an exception at import, or no `balanced_packing`.
    #[error("does not load: {message}")]
    Load {
        /// Last line of the traceback.
        message: String,
    },
    /// A call raised.
    #[error("raises {message}")]
    Exception {
        /// Last line of the traceback.
        message: String,
    },
    /// A call or the loading took longer than its wall-time limit.
    #[error("hangs: not done after {limit_seconds} s")]
    Hang { limit_seconds: f64 },
    /// The child exited during a call.
    #[error("crashes: {status}")]
    Crash {
        /// Such as `signal SIGSEGV` or `exit status 0`.
        status: String,
    },
    /// The child was refused memory, or used more than its limit.
    #[error("runs out of memory: {used_bytes} bytes used, limit {limit_bytes} bytes")]
    Memory {
        /// The memory that the judge saw, above that of a fresh child.
        used_bytes: u64,
        limit_bytes: u64,
    },
    /// The child ran too many threads.
    #[error("runs more threads than allowed: {used}, limit {limit}")]
    Threads { used: u32, limit: u32 },
    /// Threads of the child keep running while it is stopped.
    #[error("does not stop while another program is timed: {running} of its threads keep running")]
    Unstoppable { running: u32 },
    /// The GPU still works for the child after its call returned.
    #[error("leaves work on the GPU: it delays the next program by {seconds:.3} s")]
    LeftWork { seconds: f64 },
    /// The child printed too much.
    #[error("prints more than allowed: limit {limit_bytes} bytes")]
    Output { limit_bytes: u64 },
    /// A call did not return a pair of int64 tensors `[X, n]`, or `rebalance_experts` not its three tensors.
    #[error("returns {message}")]
    WrongResult { message: String },
    /// The placement breaks the contract: an index out of range, an over-full pack, or ranks that are not a
    /// permutation.
    #[error("makes an invalid placement: {message}")]
    InvalidPlacement {
        /// Names row and pack.
        message: String,
    },
    /// The plan of `rebalance_experts` breaks the contract: its maps disagree, or an expert has no replica.
    #[error("makes an invalid rebalance: {message}")]
    InvalidRebalance {
        /// Names layer, and expert or replica.
        message: String,
    },
    /// With nothing in force, a policy plans clearly worse than DeepSeek's planner.
    // In percent with three digits: language models are shown no longer numbers.
    #[error(
        "makes a poor plan with nothing in force: {:.1} % of the balancedness that DeepSeek's planner reaches, but it must \
         reach 99 %",
        100.0 * .balancedness / .planner
    )]
    PoorFreshPlan {
        /// On the window that the plan is made from.
        balancedness: f64,
        /// Of DeepSeek's planner, on the same window.
        planner: f64,
    },
    /// The call changed its input `weight`.
    #[error("changes its input: {message}")]
    MutatedInput { message: String },
    /// The child sent an unrequested or unknown message.
    #[error("breaks the protocol: {message}")]
    Protocol { message: String },
}

/// What the judge saw when it rejected the candidate; feedback for later proposals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The call, such as `72->8, window 3`, or `loading`.
    pub during: String,
    /// The traceback, shortened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub traceback: String,
    /// The candidate's output to stdout and stderr, shortened.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// Wall time of the evaluation until then, seconds; 0 in a duel.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seconds: f64,
}

fn is_zero(seconds: &f64) -> bool {
    *seconds == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_the_tag_in_the_journal() {
        let rejection = Rejection::Hang { limit_seconds: 2.5 };
        let json = serde_json::to_value(&rejection).unwrap();
        assert_eq!(json, serde_json::json!({"kind": "hang", "limit_seconds": 2.5}));
        assert_eq!(json["kind"], <&str>::from(&rejection));
        assert_eq!(rejection.to_string(), "hangs: not done after 2.5 s");
    }

    #[test]
    fn out_of_memory_reads_well_below_the_limit_too() {
        // After a refused allocation, the memory in use is below the limit.
        let rejection = Rejection::Memory { used_bytes: 5, limit_bytes: 9 };
        assert_eq!(rejection.to_string(), "runs out of memory: 5 bytes used, limit 9 bytes");
    }
}
