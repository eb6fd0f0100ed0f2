//! Rejection: why a candidate has no measurements. A reason with its evidence, never an error of ours.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use thiserror::Error;

/// Why a candidate was rejected. The message says what the candidate did, in terms of its contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Error, IntoStaticStr)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Rejection {
    /// The program could not be loaded: a syntax error, an exception at import, or no `balanced_packing` in it.
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
    /// A call or the loading took longer than its limit of wall time.
    #[error("hangs: not done after {limit_seconds} s")]
    Hang {
        /// The limit that it ran past.
        limit_seconds: f64,
    },
    /// The child ended while it owed an answer.
    #[error("crashes: {status}")]
    Crash {
        /// `signal 11 (SIGSEGV)` or `exit status 0`.
        status: String,
    },
    /// The child ran into its limit of memory, or was seen above it.
    #[error("runs out of memory: {used_bytes} bytes used, limit {limit_bytes} bytes")]
    Memory {
        /// What it was seen to use above what a fresh child uses.
        used_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// It ran more threads than allowed.
    #[error("runs more threads than allowed: {used}, limit {limit}")]
    Threads {
        /// How many it was seen to run.
        used: u32,
        /// The limit.
        limit: u32,
    },
    /// It printed more than allowed.
    #[error("prints more than allowed: limit {limit_bytes} bytes")]
    Output {
        /// The limit.
        limit_bytes: u64,
    },
    /// What a call returned is not a pair of int64 tensors `[X, n]`, or of `rebalance_experts` not its three.
    #[error("returns {message}")]
    WrongResult {
        /// What was returned and what is wanted.
        message: String,
    },
    /// The placement breaks the contract: an index out of range, an over-full pack, ranks that are no permutation.
    #[error("makes an invalid placement: {message}")]
    InvalidPlacement {
        /// Row, pack and what is wrong with it.
        message: String,
    },
    /// The plan that `rebalance_experts` returned breaks its contract: maps that do not agree, an expert without a
    /// replica, a replica that is none.
    #[error("makes an invalid rebalance: {message}")]
    InvalidRebalance {
        /// Layer, expert or replica, and what is wrong with it.
        message: String,
    },
    /// The call changed its input `weight`.
    #[error("changes its input: {message}")]
    MutatedInput {
        /// Where.
        message: String,
    },
    /// The child spoke out of turn or not in the protocol.
    #[error("breaks the protocol: {message}")]
    Protocol {
        /// What was received.
        message: String,
    },
}

/// What was seen when the candidate was rejected; feedback for whoever proposes next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// During which call, such as `72->8, window 3`; `loading` before the first.
    pub during: String,
    /// The traceback, cut to a bounded length.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub traceback: String,
    /// What the candidate printed to stdout and stderr, cut to a bounded length.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
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
        // A request that was refused leaves less in use than the limit.
        let rejection = Rejection::Memory { used_bytes: 5, limit_bytes: 9 };
        assert_eq!(rejection.to_string(), "runs out of memory: 5 bytes used, limit 9 bytes");
    }
}
