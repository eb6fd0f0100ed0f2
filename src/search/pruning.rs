//! Pruning: how far the search has come in cutting from its best what the score does not need.
//!
//! A *pass* goes through all that can be cut from one best, one cut an attempt. A child that is not longer, and not worse
//! by more than is uncertain, is the best from then on, and the pass goes on from it at the same place: what was cut is
//! gone, so the next thing stands there. Children are held against the best that the pass began with. So a hundred steps
//! down, each too small to be seen, do not add up; and whoever is to follow has to be better than that one, too. When it
//! has come to the end it begins again with what it has made, until there is nothing to cut from that: what a cut has left
//! without a use may stand before it.

use serde::{Deserialize, Serialize};

use crate::search::bandit::Account;
use crate::search::best::Best;
use crate::search::credit::Outcome;
use crate::values::candidate::CandidateId;

/// After so many attempts without a better best a pass begins, and not only at the end.
const STANDS_AFTER: u64 = 100;

/// No more than this is given up, however uncertain scores are: on a busy machine they hardly tell anything apart.
const MOST_LOST: f64 = 0.005;

/// The state of pruning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pruning {
    /// The most attempts of a pass; 0: there is none.
    limit: u64,
    account: Account,
    /// Candidates that came of it.
    made: u64,
    /// How many attempts there had been when the best became the best, other than by a cut.
    best_since: u64,
    pass: Option<Pass>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pass {
    /// The best that it began with.
    origin: Best,
    /// What is cut from now: the origin, or what has become of it.
    best: CandidateId,
    /// What its last way through began with.
    begun_with: CandidateId,
    tried: u64,
    /// The place of the next cut; `None`: there is none left.
    next: Option<u64>,
}

impl Pruning {
    /// With so many attempts for each pass.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, account: Account::default(), made: 0, best_since: 0, pass: None }
    }

    /// What came of all attempts, if there was any.
    pub fn account(&self) -> Option<&Account> {
        Some(&self.account).filter(|account| account.tried > 0)
    }

    /// How many candidates came of it; they are none of those that a run was asked for.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// What the pass began with that `best` came of, or is still; `None` if there is no such pass.
    pub fn origin(&self, best: CandidateId) -> Option<&Best> {
        self.pass.as_ref().filter(|pass| pass.best == best).map(|pass| &pass.origin)
    }

    /// Whether the best has stood for long enough that a pass is worth its while.
    pub(super) fn has_stood(&self, attempts: u64) -> bool {
        attempts - self.best_since >= STANDS_AFTER
    }

    /// The place of the next thing to cut from `best`; of one that no pass has begun with only if one may begin.
    pub(super) fn next(&self, best: CandidateId, may_begin: bool) -> Option<u64> {
        match &self.pass {
            Some(pass) if pass.best == best => pass.next.filter(|_| pass.tried < self.limit),
            _ => (may_begin && self.limit > 0).then_some(0),
        }
    }

    /// The score below which nothing that is cut from `best` can be as good.
    pub(super) fn lowest(&self, best: &Best) -> f64 {
        let origin = self.origin(best.candidate).unwrap_or(best);
        origin.score - (2.0 * origin.interval).min(MOST_LOST)
    }

    /// The cut at a place of `best` is tried.
    pub(super) fn tried(&mut self, best: &Best, place: u64) {
        self.account.tried += 1;
        if self.origin(best.candidate).is_none() {
            let candidate = best.candidate;
            self.pass =
                Some(Pass { origin: best.clone(), best: candidate, begun_with: candidate, tried: 0, next: None });
        }
        let pass = self.pass.as_mut().expect("BUG: a pass has just begun, if there was none");
        pass.tried += 1;
        pass.next = Some(place + 1);
    }

    /// Nothing came of an attempt at `best`; `is_end`: because nothing is left to cut.
    pub(super) fn declined(&mut self, best: CandidateId, is_end: bool) {
        self.account.declined += 1;
        let Some(pass) = self.pass.as_mut().filter(|pass| is_end && pass.best == best) else { return };
        pass.next = (pass.begun_with != best).then_some(0);
        pass.begun_with = best;
    }

    pub(super) fn made_one(&mut self) {
        self.made += 1;
    }

    pub(super) fn judged(&mut self, outcome: Outcome) {
        self.account.seconds += outcome.seconds;
        outcome.enter(&mut self.account);
    }

    /// There is a new best: by the cut at a place of the last one, or else by the search, after so many attempts.
    pub(super) fn new_best(&mut self, best: CandidateId, cut: Option<u64>, attempts: u64) {
        match (&mut self.pass, cut) {
            (Some(pass), Some(_)) => (pass.best, pass.next) = (best, cut),
            _ => self.best_since = attempts,
        }
    }
}

/// Whether a score is no worse than another one, by more than both are uncertain; by twice the other's uncertainty at
/// most, so that nothing is gained by being measured badly.
pub(super) fn keeps_up((score, interval): (f64, f64), (other, other_interval): (f64, f64)) -> bool {
    score >= other - (other_interval + interval.min(other_interval)).min(MOST_LOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(candidate: u64) -> Best {
        Best { candidate: CandidateId(candidate), score: 0.5, interval: 0.01, held_out: None }
    }

    #[test]
    fn who_is_measured_badly_gains_nothing_by_it() {
        for (score, interval, expected) in
            [(0.6, 0.0, true), (0.4991, 0.0, true), (0.4989, 0.0, false), (0.4981, 0.001, true), (0.4979, 9.0, false)]
        {
            assert_eq!(keeps_up((score, interval), (0.5, 0.001)), expected, "{score} {interval}");
        }
        assert!(keeps_up((0.496, 1.0), (0.5, 1.0)) && !keeps_up((0.494, 1.0), (0.5, 1.0)), "there is a limit");
    }

    #[test]
    fn a_pass_takes_place_after_place_and_goes_on_where_something_was_cut() {
        let mut pruning = Pruning::new(6);
        let (first, second) = (best(7), best(8));
        assert_eq!((pruning.next(first.candidate, false), pruning.next(first.candidate, true)), (None, Some(0)));
        for place in 0..3 {
            pruning.tried(&first, place);
            assert_eq!(pruning.next(first.candidate, false), Some(place + 1));
        }
        pruning.new_best(second.candidate, Some(1), 90);
        assert_eq!(pruning.next(second.candidate, false), Some(1));
        assert_eq!(pruning.origin(second.candidate), Some(&first));
        pruning.tried(&second, 1);
        pruning.declined(second.candidate, true);
        assert_eq!(pruning.next(second.candidate, true), Some(0), "it is another than was begun with");
        pruning.tried(&second, 0);
        pruning.declined(second.candidate, true);
        assert_eq!(pruning.next(second.candidate, true), None);
        // What was under way when the end was reached may have been worth it.
        pruning.new_best(CandidateId(9), Some(1), 95);
        assert_eq!(pruning.next(CandidateId(9), false), Some(1));
        pruning.tried(&best(9), 1);
        assert_eq!(pruning.next(CandidateId(9), true), None, "these were as many attempts as a pass may have");
        assert_eq!(pruning.account().unwrap().tried, 6);
    }

    #[test]
    fn a_best_of_the_search_has_a_pass_of_its_own_once_it_has_stood() {
        let mut pruning = Pruning::new(5);
        pruning.tried(&best(7), 0);
        pruning.new_best(CandidateId(9), None, 120);
        assert!(!pruning.has_stood(219) && pruning.has_stood(220));
        assert_eq!((pruning.next(CandidateId(9), false), pruning.next(CandidateId(9), true)), (None, Some(0)));
        assert_eq!(Pruning::new(0).next(CandidateId(9), true), None);
    }
}
