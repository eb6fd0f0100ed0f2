//! Confirming: who is the best. A contender has to beat the best in a duel.

use packevolve_contract::duel::{Duel, Verdict};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::objective::Pairing;

use crate::search::best::{Best, Contender, HeldOut, Interval};
use crate::search::candidate::{DuelResult, HeldOutResult, Outcome, Ruling};
use crate::search::population::Member;
use crate::search::pruning::{MAX_LOSS, keeps_up};
use crate::search::state::Search;
use crate::values::candidate::CandidateId;

/// A contender whose duels decide nothing is refuted after this many.
pub(super) const MOST_DUELS: usize = 3;

impl Search {
    pub(super) fn know_baseline(&mut self, slot: usize, measurement: &Measurement, inconsistencies: &[Inconsistency]) {
        let measurement = measurement.clone();
        self.baseline = Some(measurement.clone());
        if self.baseline_is_seed() {
            let evaluation = match inconsistencies.to_vec() {
                none if none.is_empty() => Evaluation::Measured { measurement },
                inconsistencies => Evaluation::Inconsistent { inconsistencies, measurement },
            };
            self.admit(CandidateId::SEED, slot, &evaluation, false);
        }
    }

    pub(super) fn is_baseline(&self, candidate: CandidateId) -> bool {
        candidate == CandidateId::SEED && self.baseline_is_seed()
    }

    /// The program that a contender meets: the best. For a cut, or if it is better there, it is what the pass of cuts began
    /// with, so that many invisible steps down do not add up.
    pub fn opponent(&self, contender: CandidateId) -> Option<&Best> {
        let best = self.best.as_ref()?;
        let is_met =
            |origin: &&Best| self.is_cut_from_best(contender) || origin.reported_score() > best.reported_score();
        let origin = self.pruning.origin(best.candidate).filter(is_met);
        Some(origin.unwrap_or(best))
    }

    /// The contender of the open duel, or else of the next one.
    pub(super) fn next_duel(&self) -> Option<CandidateId> {
        self.duel.map(|open| open.contender).or_else(|| self.standing_contenders().first().copied())
    }

    /// What a duel decides about its contender.
    fn ruling(&self, contender: CandidateId, duel: &Duel, verdict: Option<Verdict>) -> Ruling {
        let Some(own) = duel.contender.measured() else { return Ruling::Refuted };
        let is_decisive = |measured: &Measurement| !measured.is_doubtful() && measured.full_rounds() > 0;
        let is_won = match (duel.best.measured(), verdict) {
            (Some(other), Some(verdict)) if is_decisive(own) && is_decisive(other) => {
                self.wins(contender, own, verdict)
            }
            // The best was rejected, twice: a busy machine may stop a program once.
            (None, _) if is_decisive(own) && self.contender_of(contender).doubtful_duels > 0 => true,
            _ if self.contender_of(contender).doubtful_duels + 1 < MOST_DUELS => return Ruling::Doubtful,
            _ => false,
        };
        if is_won { Ruling::Confirmed } else { Ruling::Refuted }
    }

    fn wins(&self, contender: CandidateId, measurement: &Measurement, verdict: Verdict) -> bool {
        verdict.is_won() || self.is_cut_from_best(contender) && self.costs_nothing(contender, measurement, verdict)
    }

    /// Whether a cut is not worse than its opponent, and keeps the target score if that has it.
    fn costs_nothing(&self, cut: CandidateId, measurement: &Measurement, verdict: Verdict) -> bool {
        let reported = self.opponent(cut).map_or(0.0, Best::reported_score);
        let target = self.settings().search.target_score.filter(|target| reported >= *target);
        let score = self.pooled_scores(measurement).map_or(0.0, |scores| scores.combined_score);
        verdict.difference >= -verdict.uncertainty.min(MAX_LOSS) && target.is_none_or(|target| score >= target)
    }

    /// The best, or what it was pruned from, whichever has the higher score on the windows of the search.
    fn to_beat(&self) -> Option<&Best> {
        let best = self.best.as_ref()?;
        let is_higher = |origin: &&Best| origin.interval.score > best.interval.score;
        Some(self.pruning.origin(best.candidate).filter(is_higher).unwrap_or(best))
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

    /// Makes a measured candidate the best, or a contender if windows are held out, or neither. Whether it looks better
    /// than the best.
    pub(super) fn compare_with_best(&mut self, candidate: CandidateId, score: f64, measurement: &Measurement) -> bool {
        let best = self.to_beat();
        // The interval takes long to compute, and most candidates score below the best.
        if best.is_some_and(|best| score < best.interval.score) && !self.is_cut_from_best(candidate) {
            return false;
        }
        let baselines = self.baselines_error(self.known(candidate).device);
        let interval = Interval { score, half_width: self.own_half_width(measurement).hypot(baselines) };
        let keeps_up = self.keeps_up(candidate, interval);
        // What is doubtful never becomes the best without a duel. The baseline was not chosen by its score.
        let needs_duel = !self.is_baseline(candidate) && measurement.is_doubtful();
        if self.holds_out() && (best.is_some() || needs_duel) {
            let contender = Contender { candidate, interval, measurement: measurement.clone(), doubtful_duels: 0 };
            let contends = keeps_up || self.exceeds(&contender, best);
            self.contenders.extend(contends.then_some(contender));
            return contends;
        }
        if needs_duel {
            return false;
        }
        // Of equal scores the oldest is the best; but age does not bring back what was pruned.
        let is_older = |best: &Best| candidate < best.candidate && self.known(candidate).cut.is_none();
        let is_better = |best: &Best| {
            let other = best.interval.score;
            score > other || score == other && is_older(best)
        };
        let is_best = keeps_up || best.is_none_or(is_better);
        if is_best {
            self.crown(Best { candidate, interval, measurement: measurement.clone(), held_out: None });
        }
        is_best
    }

    /// Whether a contender looks better than `best`, on the windows of the search.
    fn exceeds(&self, contender: &Contender, best: Option<&Best>) -> bool {
        let yardstick = self.yardstick(Pairing::Shared).expect("BUG: the baseline is measured first");
        contender.exceeds(best, yardstick)
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

    /// Contenders that still look better than the best, the highest score first.
    pub(super) fn standing_contenders(&self) -> Vec<CandidateId> {
        let Some(best) = self.to_beat() else { return Vec::new() };
        let stands = |contender: &&Contender| {
            self.exceeds(contender, Some(best)) || self.keeps_up(contender.candidate, contender.interval)
        };
        let mut standing: Vec<_> = self.contenders.iter().filter(stands).collect();
        standing.sort_by(|a, b| b.interval.score.total_cmp(&a.interval.score).then(a.candidate.cmp(&b.candidate)));
        standing.into_iter().map(|contender| contender.candidate).collect()
    }

    fn place_of(&self, contender: CandidateId) -> usize {
        let place = self.contenders.iter().position(|other| other.candidate == contender);
        place.expect("BUG: only a contender has duels")
    }

    fn contender_of(&self, candidate: CandidateId) -> &Contender {
        &self.contenders[self.place_of(candidate)]
    }

    pub(super) fn end_duel(&mut self, contender: CandidateId, slot: usize, duel: &Duel) {
        let opponent = self.duel.take().expect("BUG: a duel starts before it ends").best;
        let device = self.places.measured(slot);
        let verdict = self.verdict(device, duel);
        let duel = &self.compared_duel(device, duel);
        let ruling = self.ruling(contender, duel, verdict);
        let place = self.place_of(contender);
        self.candidates[contender.index()].duels.push(DuelResult { against: opponent, ruling, device, verdict });
        if ruling == Ruling::Doubtful {
            self.contenders[place].doubtful_duels += 1;
            return;
        }
        let is_doubtful = [&duel.contender, &duel.best].into_iter().any(is_doubtful);
        let own = self.contenders.swap_remove(place);
        if verdict.is_some_and(|verdict| verdict.rounds > 0) && !is_doubtful {
            self.add_duel(opponent, duel.best.measured());
        }
        match (ruling, duel.contender.measured()) {
            (Ruling::Confirmed, Some(measurement)) => self.confirm(&own, measurement),
            _ => self.refute(&own, &duel.contender, is_doubtful),
        }
        if ruling == Ruling::Confirmed && duel.best.rejection().is_some() {
            self.reject(opponent);
            self.pruning.end_pass();
        }
    }

    fn compared_duel(&self, device: usize, duel: &Duel) -> Duel {
        let baseline = self.baseline.as_ref().expect("BUG: the baseline is measured first");
        let compared = |side| self.places.compared_evaluation(device, side, baseline).into_owned();
        Duel { contender: compared(&duel.contender), best: compared(&duel.best) }
    }

    /// Adds a duel to those of the best, or of what it was pruned from.
    fn add_duel(&mut self, candidate: CandidateId, measurement: Option<&Measurement>) {
        let Some(measurement) = measurement else { return };
        let best = self.best.as_ref().filter(|best| best.candidate == candidate);
        let known = best.or_else(|| self.pruning.origin_of(candidate));
        let before = known.and_then(|known| known.held_out.as_deref());
        let held_out = self.held_out(before, measurement);
        let scores = Some(Box::new(held_out.scores.clone()));
        let known = &mut self.candidates[candidate.index()];
        let confirmed = known.held_out.as_ref().is_some_and(|result| result.confirmed);
        known.held_out = Some(HeldOutResult { confirmed, is_doubtful: false, scores });
        let best = self.best.iter_mut().filter(|best| best.candidate == candidate);
        for known in best.chain(self.pruning.origin_mut(candidate)) {
            known.held_out = Some(held_out.clone());
        }
    }

    fn held_out(&self, before: Option<&HeldOut>, measurement: &Measurement) -> Box<HeldOut> {
        let scores =
            |measurement: &Measurement| self.pooled_scores(measurement).expect("BUG: the baseline is measured first");
        HeldOut::new(before, measurement, scores)
    }

    fn confirm(&mut self, contender: &Contender, measurement: &Measurement) {
        let Contender { candidate, interval, .. } = *contender;
        let held_out = self.held_out(None, measurement);
        let scores = Some(Box::new(held_out.scores.clone()));
        self.candidates[candidate.index()].held_out =
            Some(HeldOutResult { confirmed: true, is_doubtful: false, scores });
        let measurement = contender.measurement.clone();
        self.crown(Best { candidate, interval, measurement, held_out: Some(held_out) });
    }

    /// From here on a refuted candidate goes by its score over the windows of the search and of its last duel.
    fn refute(&mut self, contender: &Contender, evaluation: &Evaluation, is_doubtful: bool) {
        let candidate = contender.candidate;
        let Some(measurement) = evaluation.measured() else { return self.reject(candidate) };
        let pooled = contender.measurement.pooled(measurement);
        let scores = self.pooled_scores(&pooled).expect("BUG: the baseline is measured first");
        let member = Member::new(candidate, &scores);
        self.elites.remove(candidate);
        let homes = self.islands.remove(candidate);
        self.elites.admit(member);
        for island in homes {
            self.islands.admit(island, member);
        }
        let there = self.pooled_scores(measurement).map(Box::new);
        let known = &mut self.candidates[candidate.index()];
        known.held_out = Some(HeldOutResult { confirmed: false, is_doubtful, scores: there });
        known.doubtful = pooled.calibration.doubtful;
        known.outcome = Some(Outcome::Measured(Box::new(scores)));
    }

    /// A candidate that breaks its contract in a duel is rejected after all.
    fn reject(&mut self, candidate: CandidateId) {
        self.elites.remove(candidate);
        self.islands.remove(candidate);
        let known = &mut self.candidates[candidate.index()];
        known.held_out = Some(HeldOutResult { confirmed: false, is_doubtful: false, scores: None });
        if known.outcome.replace(Outcome::Rejected) != Some(Outcome::Rejected) {
            self.tally.measured -= 1;
            self.tally.rejected += 1;
        }
    }
}

fn is_doubtful(evaluation: &Evaluation) -> bool {
    evaluation.measured().is_some_and(Measurement::is_doubtful)
}
