//! Pruning: removes from the best program what its score does not need.
//!
//! A *pass* tries all cuts of one best program, one per attempt. A child that is not longer, and not worse beyond the
//! uncertainty, becomes the best, and the pass continues from it at the same place: the next thing has moved there.
//! Children are compared with the best that the pass began with, so that a hundred invisible steps down do not add up; a
//! later best has to look better than that one, too. At its end a pass starts over with its result until no cut is left: a cut may
//! leave something unused before its place.

use crate::search::bandit::ProposerStats;
use crate::search::best::{Best, Interval};
use crate::search::credit::Return;
use crate::values::candidate::CandidateId;

/// A pass begins after this many attempts without a better best, and at the end of the search.
const STANDS_AFTER: u64 = 100;

/// Cuts take about this share of the judge seconds that all other candidates took, at most: none begins beyond it. A program
/// that Numba compiles costs seconds, however short it is, and what is cut from it rarely changes a score.
const SHARE: f64 = 0.25;

/// The most that a pass gives up, however uncertain scores are: on a busy machine they separate very little.
pub(super) const MAX_LOSS: f64 = 0.005;

#[derive(Clone, Debug, PartialEq)]
pub struct Pruning {
    /// The most attempts of a pass; 0: no passes.
    limit: u64,
    stats: ProposerStats,
    /// Judge seconds of all other candidates.
    searched_seconds: f64,
    pub(super) made: u64,
    /// How many attempts came before the present best, cuts aside.
    best_since: u64,
    pass: Option<Pass>,
}

#[derive(Clone, Debug, PartialEq)]
struct Pass {
    origin: Best,
    /// The program that it cuts from now.
    best: CandidateId,
    /// The program that it last started over with.
    begun_with: CandidateId,
    tried: u64,
    /// The place of the next cut; `None`: no cut is left.
    next: Option<u64>,
}

impl Pruning {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, stats: ProposerStats::default(), searched_seconds: 0.0, made: 0, best_since: 0, pass: None }
    }

    pub fn stats(&self) -> Option<&ProposerStats> {
        Some(&self.stats).filter(|stats| stats.tried > 0)
    }

    /// How many candidates it made. They do not count against the limit of a run.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// What the pass began with whose program is `best` now; `None` if there is no such pass.
    pub fn origin(&self, best: CandidateId) -> Option<&Best> {
        self.pass.as_ref().filter(|pass| pass.best == best).map(|pass| &pass.origin)
    }

    /// What the last pass began with, if it is this candidate.
    pub(super) fn origin_of(&self, candidate: CandidateId) -> Option<&Best> {
        self.pass.as_ref().map(|pass| &pass.origin).filter(|origin| origin.candidate == candidate)
    }

    /// The same, to change it.
    pub(super) fn origin_mut(&mut self, candidate: CandidateId) -> Option<&mut Best> {
        self.pass.as_mut().map(|pass| &mut pass.origin).filter(|origin| origin.candidate == candidate)
    }

    /// Whether the best has stood for long enough that a pass pays.
    pub(super) fn has_stood(&self, attempts: u64) -> bool {
        attempts - self.best_since >= STANDS_AFTER
    }

    /// The place of the next cut from `best`; without a pass for it, only if one may begin.
    pub(super) fn next(&self, best: CandidateId, may_begin: bool) -> Option<u64> {
        if self.stats.seconds > SHARE * self.searched_seconds {
            return None;
        }
        match &self.pass {
            Some(pass) if pass.best == best => pass.next.filter(|_| pass.tried < self.limit),
            _ => (may_begin && self.limit > 0).then_some(0),
        }
    }

    /// The score below which no child of `best` can be as good.
    pub(super) fn lowest(&self, best: &Best) -> f64 {
        let origin = self.origin(best.candidate).unwrap_or(best);
        origin.interval.score - (2.0 * origin.interval.half_width).min(MAX_LOSS)
    }

    /// An attempt tries the cut at a place of `best`.
    pub(super) fn tried(&mut self, best: &Best, place: u64) {
        self.stats.tried += 1;
        if self.origin(best.candidate).is_none() {
            let candidate = best.candidate;
            self.pass =
                Some(Pass { origin: best.clone(), best: candidate, begun_with: candidate, tried: 0, next: None });
        }
        let pass = self.pass.as_mut().expect("BUG: a pass has just begun, if there was none");
        pass.tried += 1;
        pass.next = Some(place + 1);
    }

    /// An attempt at `best` made no candidate; `is_end`: because no cut is left.
    pub(super) fn declined(&mut self, best: CandidateId, is_end: bool) {
        self.stats.declined += 1;
        let Some(pass) = self.pass.as_mut().filter(|pass| is_end && pass.best == best) else { return };
        pass.next = (pass.begun_with != best).then_some(0);
        pass.begun_with = best;
    }

    /// A candidate of another proposer was judged.
    pub(super) fn searched(&mut self, seconds: f64) {
        self.searched_seconds += seconds;
    }

    pub(super) fn judged(&mut self, returned: Return<'_>) {
        self.stats.seconds += returned.seconds;
        returned.count_in(&mut self.stats);
    }

    /// Nothing is compared with the origin of the pass any more.
    pub(super) fn end_pass(&mut self) {
        self.pass = None;
    }

    /// There is a new best: by the cut at a place of the last one, or by the search, after this many attempts.
    pub(super) fn new_best(&mut self, best: CandidateId, cut: Option<u64>, attempts: u64) {
        match (&mut self.pass, cut) {
            (Some(pass), Some(_)) => (pass.best, pass.next) = (best, cut),
            _ => self.best_since = attempts,
        }
    }
}

/// Whether a score is not worse than another one beyond the uncertainty of both. Its own uncertainty counts at most as
/// much as the other's, so that a noisy measurement is not an advantage.
pub(super) fn keeps_up(own: Interval, other: Interval) -> bool {
    own.score >= other.score - (other.half_width + own.half_width.min(other.half_width)).min(MAX_LOSS)
}

#[cfg(test)]
mod tests {
    use packevolve_contract::evaluation::Measurement;

    use super::*;
    use crate::search::bandit::Reward;
    use crate::search::candidate::Outcome;

    fn interval(score: f64, half_width: f64) -> Interval {
        Interval { score, half_width }
    }

    fn best(candidate: u64) -> Best {
        let (interval, measurement) = (interval(0.5, 0.01), Measurement::default());
        Best { candidate: CandidateId(candidate), interval, measurement, held_out: None }
    }

    #[test]
    fn a_noisy_measurement_is_not_an_advantage() {
        for (score, half_width, expected) in
            [(0.6, 0.0, true), (0.4991, 0.0, true), (0.4989, 0.0, false), (0.4981, 0.001, true), (0.4979, 9.0, false)]
        {
            let keeps_up = keeps_up(interval(score, half_width), interval(0.5, 0.001));
            assert_eq!(keeps_up, expected, "{score} {half_width}");
        }
        let noisy = |score| keeps_up(interval(score, 1.0), interval(0.5, 1.0));
        assert!(noisy(0.496) && !noisy(0.494), "there is a limit");
    }

    #[test]
    fn a_pass_takes_place_after_place_and_continues_where_something_was_cut() {
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
        assert_eq!(pruning.next(second.candidate, true), Some(0), "the pass began with another program");
        pruning.tried(&second, 0);
        pruning.declined(second.candidate, true);
        assert_eq!(pruning.next(second.candidate, true), None);
        // A cut that was pending at the end of the pass may succeed.
        pruning.new_best(CandidateId(9), Some(1), 95);
        assert_eq!(pruning.next(CandidateId(9), false), Some(1));
        pruning.tried(&best(9), 1);
        assert_eq!(pruning.next(CandidateId(9), true), None, "the pass has used up its attempts");
        assert_eq!(pruning.stats().unwrap().tried, 6);
    }

    #[test]
    fn cuts_take_at_most_a_quarter_of_the_time_of_all_others() {
        let mut pruning = Pruning::new(6);
        let of_a_cut = |seconds| Return { outcome: &Outcome::Outclassed, reward: Reward::Nothing, seconds };
        pruning.searched(40.0);
        pruning.tried(&best(7), 0);
        pruning.judged(of_a_cut(10.0));
        assert_eq!(pruning.next(CandidateId(7), true), Some(1));
        pruning.judged(of_a_cut(0.1));
        assert_eq!((pruning.next(CandidateId(7), true), pruning.next(CandidateId(9), true)), (None, None));
        pruning.searched(0.4);
        assert_eq!(pruning.next(CandidateId(7), false), Some(1));
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
