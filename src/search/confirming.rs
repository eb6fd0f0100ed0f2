//! Confirming: who is the best. A contender has to beat the best on windows that the search never sees.

use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::Scores;

use crate::search::best::{Best, Contender, HeldOut, Interval};
use crate::search::candidate::{HeldOutResult, Outcome};
use crate::search::population::Member;
use crate::search::pruning::keeps_up;
use crate::search::rules::Refusal;
use crate::search::state::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::Event;

impl Search {
    pub(super) fn know_baseline(&mut self, measurement: &Measurement) {
        self.baseline = Some(measurement.clone());
        if self.baseline_is_seed() {
            self.admit(CandidateId::SEED, &Evaluation::Measured { measurement: measurement.clone() });
            self.complete_seed();
        }
    }

    pub(super) fn know_held_out_baseline(&mut self, measurement: &Measurement) {
        self.baseline_held_out = Some(measurement.clone());
        self.complete_seed();
    }

    /// If the seed program is the baseline, the held-out measurement of the baseline is also that of the seed program.
    fn complete_seed(&mut self) {
        let Some(measurement) = self.baseline_held_out.clone().filter(|_| self.baseline_is_seed()) else { return };
        let held_out = self.held_out(&measurement);
        if let Some(best) = self.best.as_mut().filter(|best| best.candidate == CandidateId::SEED) {
            best.held_out = Some(held_out);
        }
    }

    fn held_out(&self, measurement: &Measurement) -> Box<HeldOut> {
        let scores = self.held_out_scores(measurement).expect("BUG: the baseline is measured there first");
        Box::new(HeldOut { measurement: measurement.clone(), scores })
    }

    /// The event that records what held-out windows say about a contender. The baseline must be measured there.
    pub fn ruling(&self, candidate: CandidateId, evaluation: Evaluation) -> Event {
        match evaluation {
            Evaluation::Measured { measurement }
                if self.is_confirmed_by(candidate, &measurement).expect("BUG: no baseline there") =>
            {
                Event::Confirmed { candidate, measurement }
            }
            evaluation => Event::Refuted { candidate, evaluation },
        }
    }

    /// Whether a measurement on held-out windows makes a contender the best: it is better there, or it is the best with
    /// something cut, and as good.
    pub(super) fn is_confirmed_by(&self, candidate: CandidateId, measurement: &Measurement) -> Result<bool, Refusal> {
        let scores = self.held_out_scores(measurement);
        let scores = scores.ok_or_else(|| Refusal::new("the baseline is not known on the held-out windows"))?;
        let best = self.to_beat(|best| best.held_out.as_ref().map_or(f64::NEG_INFINITY, |held_out| held_out.score()));
        let best = best.and_then(|best| best.held_out.as_ref());
        let is_better = best.is_none_or(|best| scores.combined_score > best.score());
        Ok(is_better || self.is_cut_from_best(candidate) && self.keeps_up_held_out(&scores, measurement))
    }

    /// The best, or what it was pruned from, whichever has the higher `score`.
    fn to_beat(&self, score: impl Fn(&Best) -> f64) -> Option<&Best> {
        let best = self.best.as_ref()?;
        let origin = self.pruning.origin(best.candidate).filter(|origin| score(origin) > score(best));
        Some(origin.unwrap_or(best))
    }

    fn is_cut_from_best(&self, candidate: CandidateId) -> bool {
        let known = self.known(candidate);
        let best = self.best.as_ref().filter(|best| known.cut.is_some() && known.parents == [best.candidate]);
        best.is_some_and(|best| known.size <= self.known(best.candidate).size)
    }

    /// Whether a cut costs nothing that the windows of the search show.
    fn keeps_up(&self, candidate: CandidateId, interval: Interval) -> bool {
        let best = self.best.as_ref().filter(|_| self.is_cut_from_best(candidate));
        let origin = best.and_then(|best| self.pruning.origin(best.candidate));
        origin.is_some_and(|origin| keeps_up(interval, origin.interval))
    }

    /// Whether a cut costs nothing that held-out windows show, and keeps the target score if its origin has it.
    fn keeps_up_held_out(&self, scores: &Scores, measurement: &Measurement) -> bool {
        let origin = self.best.as_ref().and_then(|best| self.pruning.origin(best.candidate));
        let Some((origin, there)) = origin.and_then(|origin| Some((origin, origin.held_out.as_ref()?))) else {
            return false;
        };
        let interval = |score, measurement| Interval {
            score,
            half_width: self.half_width(measurement, self.baseline_held_out.as_ref()),
        };
        let target = self.settings().search.target_score.filter(|target| origin.reported_score() >= *target);
        let own = interval(scores.combined_score, measurement);
        let keeps_up = keeps_up(own, interval(there.score(), &there.measurement));
        keeps_up && target.is_none_or(|target| own.score >= target)
    }

    /// Makes a measured candidate the best, or a contender if windows are held out, or neither. Whether it looks better
    /// than the best.
    pub(super) fn compare_with_best(&mut self, candidate: CandidateId, score: f64, measurement: &Measurement) -> bool {
        let best = self.to_beat(|best| best.interval.score);
        // The interval takes long to compute, and most candidates score below the best.
        if best.is_some_and(|best| score < best.interval.score) && !self.is_cut_from_best(candidate) {
            return false;
        }
        let interval = Interval { score, half_width: self.half_width(measurement, self.baseline.as_ref()) };
        let keeps_up = self.keeps_up(candidate, interval);
        // The baseline scores 0 on any windows: it needs no confirmation.
        let is_baseline = candidate == CandidateId::SEED && self.baseline_is_seed();
        if self.holds_out() && !is_baseline {
            let contender = Contender { candidate, interval, measurement: measurement.clone() };
            let contends = keeps_up || contender.exceeds(best);
            self.contenders.extend(contends.then_some(contender));
            return contends;
        }
        // Of equal scores the oldest is the best; but age does not bring back what was pruned.
        let is_older = |best: &Best| candidate < best.candidate && self.known(candidate).cut.is_none();
        let is_better = |best: &Best| {
            let other = best.interval.score;
            score > other || score == other && is_older(best)
        };
        let is_best = keeps_up || best.is_none_or(is_better);
        if is_best {
            self.crown(Best { candidate, interval, held_out: None });
        }
        is_best
    }

    /// The places of pending cuts from the parent of `cut`. They are tried again on the new best.
    fn pending_siblings(&self, cut: CandidateId) -> impl Iterator<Item = u64> {
        let parents = &self.known(cut).parents;
        let contending = self.contenders.iter().map(|contender| contender.candidate);
        let pending = self.waiting.iter().copied().chain(contending).map(|other| self.known(other));
        pending.filter(move |other| other.parents == *parents).filter_map(|other| other.cut)
    }

    fn crown(&mut self, best: Best) {
        let cut = self.known(best.candidate).cut.filter(|_| self.is_cut_from_best(best.candidate));
        let cut = cut.map(|place| self.pending_siblings(best.candidate).fold(place, u64::min));
        self.pruning.new_best(best.candidate, cut, self.attempts);
        self.best = Some(best);
    }

    /// Contenders that still look better than the best, the highest score first; none until the baseline was measured on
    /// held-out windows.
    pub(super) fn standing_contenders(&self) -> Vec<CandidateId> {
        let best = self.to_beat(|best| best.interval.score);
        let standing =
            |contender: &&Contender| contender.exceeds(best) || self.keeps_up(contender.candidate, contender.interval);
        let can_be_judged = self.baseline_held_out.is_some();
        let mut standing: Vec<_> = self.contenders.iter().filter(standing).filter(|_| can_be_judged).collect();
        standing.sort_by(|a, b| b.interval.score.total_cmp(&a.interval.score).then(a.candidate.cmp(&b.candidate)));
        standing.into_iter().map(|contender| contender.candidate).collect()
    }

    fn take_contender(&mut self, candidate: CandidateId) -> Contender {
        let at = self.contenders.iter().position(|contender| contender.candidate == candidate);
        self.contenders.swap_remove(at.expect("BUG: only a contender is confirmed or refuted"))
    }

    pub(super) fn confirm(&mut self, candidate: CandidateId, measurement: &Measurement) {
        let Contender { interval, .. } = self.take_contender(candidate);
        let held_out = self.held_out(measurement);
        self.candidates[candidate.index()].held_out =
            Some(HeldOutResult { confirmed: true, scores: Some(Box::new(held_out.scores.clone())) });
        self.crown(Best { candidate, interval, held_out: Some(held_out) });
    }

    /// From here on a refuted candidate goes by its score over both sides of the windows.
    pub(super) fn refute(&mut self, candidate: CandidateId, evaluation: &Evaluation) {
        let contender = self.take_contender(candidate);
        self.elites.remove(candidate);
        let homes = self.islands.remove(candidate);
        let held_out = evaluation.measured();
        let scores = held_out.and_then(|held_out| self.held_out_scores(held_out)).map(Box::new);
        let outcome = held_out.map_or(Outcome::Rejected, |held_out| {
            let pooled = self.pooled_scores(&contender.measurement.pooled(held_out));
            let member = Member::new(candidate, &pooled);
            self.elites.admit(member);
            for island in homes {
                self.islands.admit(island, member);
            }
            Outcome::Measured(Box::new(pooled))
        });
        if outcome == Outcome::Rejected {
            self.tally.measured -= 1;
            self.tally.rejected += 1;
        }
        let known = &mut self.candidates[candidate.index()];
        known.held_out = Some(HeldOutResult { confirmed: false, scores });
        known.outcome = Some(outcome);
    }
}
