//! Admitting: how attempts open and close, and where a candidate belongs once it is measured.

use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::stream::{Purpose, stream};

use crate::search::bandit::Reward;
use crate::search::candidate::{Candidate, Outcome};
use crate::search::credit::Return;
use crate::search::population::Member;
use crate::search::select;
use crate::search::state::{Attempt, Search};
use crate::values::candidate::CandidateId;
use crate::values::event::{CandidateCreated, Declined, Proposer, Selection};

impl Search {
    pub(super) fn open_attempt(&mut self, attempt: u64, selection: &Selection) {
        self.attempts += 1;
        self.given_tried += usize::from(matches!(selection.proposer, Proposer::Person(_)));
        match (selection.cut, &self.best) {
            (Some(place), Some(best)) => self.pruning.tried(best, place),
            _ => self.candidates[selection.parent.index()].times_chosen += 1,
        }
        self.credit.proposers.tried(selection.proposer);
        selection.repairs.into_iter().for_each(|candidate| self.models.sent_back(candidate));
        self.open.push(Attempt { number: attempt, selection: selection.clone() });
    }

    fn close_attempt(&mut self, attempt: u64) -> Selection {
        let at = self.open.iter().position(|open| open.number == attempt).expect("BUG: an attempt is selected first");
        self.open.remove(at).selection
    }

    pub(super) fn decline(&mut self, attempt: u64, reason: &Declined) {
        let Selection { proposer, operator, parent, .. } = self.close_attempt(attempt);
        if proposer == Proposer::Prune {
            return self.pruning.declined(parent, *reason == Declined::NothingNew);
        }
        match proposer {
            // Its failures say nothing about what others find.
            Proposer::Model(model) => self.models.declined(model),
            Proposer::Person(_) => {}
            _ => self.declined_in_a_row += 1,
        }
        self.credit.declined(proposer, operator);
    }

    pub(super) fn add(&mut self, created: &CandidateCreated) {
        let selection = self.close_attempt(created.attempt);
        match selection.cut {
            Some(_) => self.pruning.made += 1,
            None => self.declined_in_a_row = 0,
        }
        self.credit.made(selection.proposer, selection.operator, created.operator);
        match selection.proposer {
            Proposer::Corpus(place) => self.corpus[place] = Some(created.candidate),
            Proposer::Model(model) => self.models.made_candidate(model),
            _ => {}
        }
        self.by_program.insert(created.fingerprint.program, created.candidate);
        self.by_normalised.insert(created.fingerprint.normalised, created.candidate);
        self.waiting.insert(created.candidate);
        let repairs = selection.repairs.map_or(0, |rejected| self.known(rejected).repairs + 1);
        self.candidates.push(Candidate::new(created, &selection, repairs));
    }

    pub(super) fn admit(&mut self, candidate: CandidateId, slot: usize, evaluation: &Evaluation, is_partial: bool) {
        self.waiting.remove(&candidate);
        let completes = self.partial.remove(&candidate).is_some();
        if completes {
            self.withdraw(candidate);
        }
        let device = self.places.measured(slot);
        let known = &mut self.candidates[candidate.index()];
        (known.device, known.is_partial) = (Some(device), is_partial);
        let seconds = evaluation.seconds();
        self.partial.extend(is_partial.then_some((candidate, seconds)));
        let baseline = self.baseline.as_ref().expect("BUG: the baseline is measured first");
        let evaluation = &*self.places.compared_evaluation(device, evaluation, baseline);
        let (outcome, reward) = self.outcome(candidate, evaluation);
        self.tally.count(&outcome, 1);
        self.give_credit(candidate, Return { outcome: &outcome, reward, seconds });
        let Candidate { proposer, repairs, .. } = *self.known(candidate);
        if outcome == Outcome::Rejected && matches!(proposer, Some(Proposer::Model(_))) {
            self.models.reject(candidate, repairs);
        }
        let known = &mut self.candidates[candidate.index()];
        known.outcome = Some(outcome);
        known.doubtful = evaluation.measurement().map_or(Vec::new(), |measured| measured.calibration.doubtful.clone());
        known.inconsistencies = match evaluation {
            Evaluation::Inconsistent { inconsistencies, .. } => inconsistencies.clone(),
            _ => Vec::new(),
        };
        if !completes {
            self.age_island(candidate);
        }
    }

    /// Takes back what the partial outcome of a candidate led to. It was never a contender or on the front.
    fn withdraw(&mut self, candidate: CandidateId) {
        self.islands.remove(candidate);
        let before = self.candidates[candidate.index()].outcome.take();
        self.tally.count(&before.expect("BUG: a partial outcome is one"), -1);
    }

    /// What becomes of a candidate, and the best that it achieved.
    fn outcome(&mut self, candidate: CandidateId, evaluation: &Evaluation) -> (Outcome, Reward) {
        match evaluation {
            Evaluation::Inconsistent { measurement, .. } if !self.only_reports() => {
                (self.place_inconsistent(candidate, measurement), Reward::Nothing)
            }
            Evaluation::Measured { measurement } | Evaluation::Inconsistent { measurement, .. } => {
                let scores = self.scores(measurement).expect("BUG: the baseline is measured first");
                let reward = self.place(Member::new(candidate, &scores), measurement);
                (Outcome::Measured(Box::new(scores)), reward)
            }
            Evaluation::Outclassed { .. } => (Outcome::Outclassed, Reward::Nothing),
            Evaluation::Rejected { .. } => (Outcome::Rejected, Reward::Nothing),
        }
    }

    /// Offers a candidate to the contenders, the elites and its island; the best of what it achieved.
    fn place(&mut self, member: Member, measurement: &Measurement) -> Reward {
        let candidate = member.candidate;
        // One window is enough for a parent. On the front a lucky one would displace others for good.
        if self.partial.contains_key(&candidate) {
            return if self.settle(member) { Reward::Admitted } else { Reward::Nothing };
        }
        let contends = self.compare_with_best(candidate, member.score, measurement);
        let on_front = self.elites.admit(member);
        let admitted = self.settle(member);
        match (contends, on_front, admitted) {
            (true, ..) => Reward::Contender,
            (_, true, _) => Reward::Front,
            (_, _, true) => Reward::Admitted,
            _ => Reward::Nothing,
        }
    }

    /// An inconsistent candidate may only be a parent, if it was measured in full.
    fn place_inconsistent(&mut self, candidate: CandidateId, measurement: &Measurement) -> Outcome {
        if !self.measures_inconsistent(candidate) {
            return Outcome::Inconsistent(None);
        }
        let scores = self.scores(measurement).expect("BUG: the baseline is measured first");
        self.settle(Member::new(candidate, &scores));
        Outcome::Inconsistent(Some(Box::new(scores)))
    }

    /// Offers a candidate to its island; the seed program founds all islands.
    fn settle(&mut self, member: Member) -> bool {
        if member.candidate == CandidateId::SEED {
            self.islands.found(member);
            return true;
        }
        self.islands.admit(self.known(member.candidate).island, member)
    }

    fn give_credit(&mut self, candidate: CandidateId, returned: Return<'_>) {
        let Candidate { proposer, operator, .. } = *self.known(candidate);
        if let Some(parent) = self.known(candidate).parents.first().copied() {
            self.candidates[parent.index()].child_seconds += returned.seconds;
        }
        if proposer == Some(Proposer::Prune) {
            return self.pruning.judged(returned);
        }
        self.pruning.searched(returned.seconds);
        if let Some(proposer) = proposer {
            self.credit.ended(proposer, operator, returned);
        }
    }

    /// Counts an evaluation against the island of its candidate. A stagnant island restarts from a candidate of the
    /// Pareto front.
    fn age_island(&mut self, candidate: CandidateId) {
        // A cut is not an attempt to improve.
        if candidate == CandidateId::SEED || self.known(candidate).cut.is_some() {
            return;
        }
        let island = self.known(candidate).island;
        self.islands.pass(island);
        if !self.islands.is_stale(island) {
            return;
        }
        let mut rng = stream(self.settings().rng_seed, self.tally.ended() as u64, Purpose::Restart);
        let front: Vec<Member> = self.elites.front().copied().collect();
        if let Some(founder) = select::anyone(&front, &mut rng) {
            self.islands.restart(island, founder);
        }
    }
}
