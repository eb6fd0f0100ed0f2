//! Best: which candidate is the best of a run.
//!
//! The highest of many noisy scores is high by luck too. So a candidate whose score exceeds the best's by more than both
//! are uncertain is a *contender*: it is judged again on windows that the search never sees, and becomes the best only
//! if it is better there. Without windows held out, the highest score is the best.

use packevolve_contract::evaluation::Measurement;
use packevolve_contract::objective::Scores;
use serde::{Deserialize, Serialize};

use crate::values::candidate::CandidateId;

/// The best candidate so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Which one.
    pub candidate: CandidateId,
    /// Its `combined_score` on the windows of the search.
    pub score: f64,
    /// Half the width of that score's interval.
    pub interval: f64,
    /// What it was found to be worth on the windows that are held out; `None` if there are none, or it was not judged
    /// there yet.
    pub held_out: Option<Box<HeldOut>>,
}

/// A measurement on held-out windows, and its scores against the baseline's there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// What was measured.
    pub measurement: Measurement,
    /// What that is worth.
    pub scores: Scores,
}

/// A candidate that looks better than the best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// Which one.
    pub candidate: CandidateId,
    /// Its `combined_score` on the windows of the search.
    pub score: f64,
    /// Half the width of that score's interval.
    pub interval: f64,
    /// What was measured there.
    pub measurement: Measurement,
}

impl HeldOut {
    /// Its `combined_score`.
    pub fn score(&self) -> f64 {
        self.scores.combined_score
    }
}

impl Best {
    /// The score to name it by: that on held-out windows where there is one.
    pub fn told_score(&self) -> f64 {
        self.held_out.as_ref().map_or(self.score, |held_out| held_out.scores.combined_score)
    }
}

impl Contender {
    /// Whether it looks better than `best` by more than both are uncertain; better than nothing it always is.
    pub fn exceeds(&self, best: Option<&Best>) -> bool {
        best.is_none_or(|best| self.score - best.score > self.interval + best.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contender_is_better_by_more_than_both_are_uncertain() {
        let best = Best { candidate: CandidateId(1), score: 0.5, interval: 0.01, held_out: None };
        let contender = |score, interval| Contender {
            candidate: CandidateId(2),
            score,
            interval,
            measurement: Measurement::default(),
        };
        assert!(contender(0.54, 0.02).exceeds(Some(&best)));
        assert!(!contender(0.529, 0.02).exceeds(Some(&best)));
        assert!(!contender(0.5, 0.0).exceeds(Some(&Best { interval: 0.0, ..best.clone() })));
        assert!(contender(-1.0, 9.0).exceeds(None));
    }
}
