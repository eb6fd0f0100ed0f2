//! Task: a measurement that the search waits for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::values::candidate::CandidateId;

/// A measurement that the search waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Measures the program that scores are relative to.
    Baseline,
    Evaluate(CandidateId),
    /// Measures a candidate in full whose verdict comes from one window of each case.
    Complete(CandidateId),
    /// This contender meets the program that it has to beat.
    Duel(CandidateId),
}
