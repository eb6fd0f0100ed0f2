//! Best: which candidate is the best of a run.
//!
//! The highest of many noisy scores is partly luck. So a candidate whose score exceeds the best's by more than the
//! uncertainty of both is a *contender*: it is measured again on windows that the search never sees, and becomes the best
//! only if it is better there. Without windows held out, the highest score is the best.

use packevolve_contract::evaluation::Measurement;
use packevolve_contract::objective::Scores;

use crate::values::candidate::CandidateId;

/// A `combined_score` and half the width of its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub score: f64,
    pub half_width: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    pub candidate: CandidateId,
    /// On the windows of the search.
    pub interval: Interval,
    /// `None` if no windows are held out, or it was not measured there yet.
    pub held_out: Option<Box<HeldOut>>,
}

/// A measurement on held-out windows, and its scores against the baseline's there.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    pub measurement: Measurement,
    pub scores: Scores,
}

/// A candidate that looks better than the best.
#[derive(Clone, Debug, PartialEq)]
pub struct Contender {
    pub candidate: CandidateId,
    /// On the windows of the search.
    pub interval: Interval,
    pub measurement: Measurement,
}

impl HeldOut {
    pub fn score(&self) -> f64 {
        self.scores.combined_score
    }
}

impl Best {
    /// The score to report: that on held-out windows if there is one.
    pub fn reported_score(&self) -> f64 {
        self.held_out.as_ref().map_or(self.interval.score, |held_out| held_out.scores.combined_score)
    }
}

impl Contender {
    /// Whether it looks better than `best`, beyond the uncertainty of both; always without a best.
    pub fn exceeds(&self, best: Option<&Best>) -> bool {
        let exceeds = |own: Interval, best: Interval| own.score - best.score > own.half_width + best.half_width;
        best.is_none_or(|best| exceeds(self.interval, best.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contender_is_better_beyond_the_uncertainty_of_both() {
        let best = |half_width| Best {
            candidate: CandidateId(1),
            interval: Interval { score: 0.5, half_width },
            held_out: None,
        };
        let contender = |score, half_width| Contender {
            candidate: CandidateId(2),
            interval: Interval { score, half_width },
            measurement: Measurement::default(),
        };
        assert!(contender(0.54, 0.02).exceeds(Some(&best(0.01))));
        assert!(!contender(0.529, 0.02).exceeds(Some(&best(0.01))));
        assert!(!contender(0.5, 0.0).exceeds(Some(&best(0.0))));
        assert!(contender(-1.0, 9.0).exceeds(None));
    }
}
