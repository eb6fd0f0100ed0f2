//! State: all that a search knows, and how others read it.

use std::collections::{BTreeSet, HashMap};

use packevolve_contract::case;
use packevolve_contract::clock::Clock;
use packevolve_contract::duel::{Duel, Verdict};
use packevolve_contract::evaluation::Measurement;
use packevolve_contract::objective::{Pairing, Scores, Yardstick, own_interval, score_interval, scores};

use crate::search::bandit::Bandit;
use crate::search::best::{Best, Contender, OpenDuel};
use crate::search::candidate::Candidate;
use crate::search::credit::Credit;
use crate::search::elites::Elites;
use crate::search::island::Islands;
use crate::search::models::Models;
use crate::search::pruning::Pruning;
use crate::values::candidate::{BlobId, CandidateId};
use crate::values::event::{Proposer, RunStarted, Selection, StopReason};
use crate::values::operator::Operator;
use crate::values::settings::{Consistency, Parts, Settings};

/// The state of a search: a fold of its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    pub(super) origin: RunStarted,
    /// Names of the cases of the unit.
    unit: Vec<String>,
    pub(super) candidate_limit: u64,
    pub(super) baseline: Option<Measurement>,
    pub(super) candidates: Vec<Candidate>,
    /// Candidates without an evaluation.
    pub(super) waiting: BTreeSet<CandidateId>,
    pub(super) tally: Tally,
    pub(super) by_program: HashMap<BlobId, CandidateId>,
    pub(super) by_normalised: HashMap<BlobId, CandidateId>,
    /// For each document of the corpus the candidate that it made.
    pub(super) corpus: Vec<Option<CandidateId>>,
    pub(super) attempts: u64,
    /// Attempts that have made no candidate and were not declined yet.
    pub(super) open: Vec<Attempt>,
    pub(super) declined_in_a_row: u64,
    pub(super) islands: Islands,
    pub(super) elites: Elites,
    pub(super) credit: Credit,
    pub(super) pruning: Pruning,
    pub(super) models: Models,
    pub(super) best: Option<Best>,
    /// Candidates that looked better than the best, about which no duel has decided yet.
    pub(super) contenders: Vec<Contender>,
    pub(super) duel: Option<OpenDuel>,
    pub(super) stopped: Option<StopReason>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Counted from 0.
    pub number: u64,
    pub selection: Selection,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub measured: usize,
    pub inconsistent: usize,
    pub outclassed: usize,
    pub rejected: usize,
}

impl Tally {
    pub fn ended(self) -> usize {
        self.measured + self.inconsistent + self.outclassed + self.rejected
    }
}

impl Search {
    pub fn new(origin: RunStarted) -> Self {
        let settings = &origin.settings;
        Self {
            unit: case::unit(&settings.evaluation.topology).iter().map(ToString::to_string).collect(),
            candidate_limit: settings.search.candidates,
            baseline: None,
            candidates: vec![Candidate::seed(&origin)],
            waiting: BTreeSet::from([CandidateId::SEED]),
            tally: Tally::default(),
            by_program: HashMap::from([(origin.seed.program, CandidateId::SEED)]),
            by_normalised: HashMap::from([(origin.seed.normalised, CandidateId::SEED)]),
            corpus: vec![None; origin.corpus.len()],
            attempts: 0,
            open: Vec::new(),
            declined_in_a_row: 0,
            islands: Islands::new(settings.search.clone()),
            elites: Elites::new(settings.search.pareto_bins),
            credit: Credit::new(proposers(settings)),
            pruning: Pruning::new(settings.search.prune_attempts),
            models: Models::new(&settings.llm),
            best: None,
            contenders: Vec::new(),
            duel: None,
            stopped: None,
            origin,
        }
    }

    pub fn origin(&self) -> &RunStarted {
        &self.origin
    }

    pub fn settings(&self) -> &Settings {
        &self.origin.settings
    }

    /// The measurement of the baseline program; `None` until it was measured.
    pub fn baseline(&self) -> Option<&Measurement> {
        self.baseline.as_ref()
    }

    /// Whether the baseline program is the seed program, so that one evaluation serves both.
    pub fn baseline_is_seed(&self) -> bool {
        self.origin.baseline == self.origin.program
    }

    /// Whether there are duels.
    pub fn holds_out(&self) -> bool {
        self.settings().evaluation.held_out_windows > 0
    }

    /// Whether inconsistent programs are only marked.
    pub(super) fn only_reports(&self) -> bool {
        self.settings().evaluation.consistency == Consistency::Report
    }

    /// Whether a candidate is measured in full even if it is inconsistent: the seed program and given proposals are.
    pub fn measures_inconsistent(&self, candidate: CandidateId) -> bool {
        self.only_reports() || matches!(self.known(candidate).proposer, None | Some(Proposer::Corpus(_)))
    }

    /// Scores of a measurement on the windows of the search; `None` until the baseline was measured.
    pub fn scores(&self, measurement: &Measurement) -> Option<Scores> {
        self.scores_by(measurement, Pairing::Shared)
    }

    /// Scores of a measurement on windows that the baseline never saw, all or some of them; `None` until the baseline was
    /// measured.
    pub fn pooled_scores(&self, measurement: &Measurement) -> Option<Scores> {
        self.scores_by(measurement, Pairing::Pooled)
    }

    fn scores_by(&self, measurement: &Measurement, pairing: Pairing) -> Option<Scores> {
        Some(scores(measurement, self.yardstick(pairing)?, &self.unit, self.clock()))
    }

    fn yardstick(&self, pairing: Pairing) -> Option<Yardstick<'_>> {
        let weights = self.settings().evaluation.weights;
        self.baseline.as_ref().map(|baseline| Yardstick { baseline, weights, pairing })
    }

    /// What normalises the times of this run.
    pub fn clock(&self) -> Clock {
        self.baseline.as_ref().map_or(Clock::RELATIVE, Measurement::clock)
    }

    /// Half the width of the interval of a measurement's score on the windows of the search.
    pub fn half_width(&self, measurement: &Measurement) -> Option<f64> {
        Some(score_interval(measurement, self.yardstick(Pairing::Shared)?))
    }

    /// The same on windows that the baseline never saw.
    pub fn pooled_half_width(&self, measurement: &Measurement) -> Option<f64> {
        Some(score_interval(measurement, self.yardstick(Pairing::Pooled)?))
    }

    /// The part of [`Search::half_width`] that is the measurement's own; 0 without a baseline.
    pub(super) fn own_half_width(&self, measurement: &Measurement) -> f64 {
        self.yardstick(Pairing::Shared).map_or(0.0, |yardstick| own_interval(measurement, yardstick))
    }

    /// The difference of both programs in a duel; `None` if one of them was rejected.
    pub fn verdict(&self, duel: &Duel) -> Option<Verdict> {
        let (contender, best) = duel.contender.measured().zip(duel.best.measured())?;
        Some(Verdict::new(contender, best, self.yardstick(Pairing::Pooled)?))
    }

    pub fn scores_of(&self, candidate: CandidateId) -> Option<&Scores> {
        self.candidate(candidate)?.scores()
    }

    pub fn candidates(&self) -> impl ExactSizeIterator<Item = (CandidateId, &Candidate)> {
        self.candidates.iter().enumerate().map(|(number, candidate)| (CandidateId(number as u64), candidate))
    }

    pub fn candidate(&self, id: CandidateId) -> Option<&Candidate> {
        self.candidates.get(id.index())
    }

    pub(super) fn known(&self, id: CandidateId) -> &Candidate {
        &self.candidates[id.index()]
    }

    pub fn seen(&self, program: &BlobId) -> Option<CandidateId> {
        self.by_program.get(program).copied()
    }

    /// The candidate whose program is the same except for comments, blank lines and names of locals, if there is one.
    pub fn seen_normalised(&self, normalised: &BlobId) -> Option<CandidateId> {
        self.by_normalised.get(normalised).copied()
    }

    /// The candidates from the seed program to this one, each an edit of the one before.
    pub fn line_to(&self, candidate: CandidateId) -> Vec<CandidateId> {
        let edited = |id: &CandidateId| self.candidate(*id).and_then(|known| known.parents.first().copied());
        let mut line: Vec<CandidateId> = std::iter::successors(Some(candidate), edited).collect();
        line.reverse();
        line
    }

    /// The youngest candidate that both descend from; one of the two, if the other descends from it.
    pub fn common_ancestor(&self, one: CandidateId, other: CandidateId) -> Option<CandidateId> {
        let (one, other) = (self.ancestry(one), self.ancestry(other));
        one.intersection(&other).max().copied()
    }

    fn ancestry(&self, candidate: CandidateId) -> BTreeSet<CandidateId> {
        let mut found = BTreeSet::new();
        let mut left = vec![candidate];
        while let Some(candidate) = left.pop() {
            if found.insert(candidate) {
                left.extend_from_slice(&self.known(candidate).parents);
            }
        }
        found
    }

    pub fn islands(&self) -> &Islands {
        &self.islands
    }

    pub fn elites(&self) -> &Elites {
        &self.elites
    }

    pub fn bandit(&self) -> &Bandit<Proposer> {
        &self.credit.proposers
    }

    pub fn operators(&self, proposer: Proposer) -> Option<&Bandit<Operator>> {
        self.credit.operators(proposer)
    }

    pub fn pruning(&self) -> &Pruning {
        &self.pruning
    }

    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The best candidate. With windows held out it is the last that won a duel, or else the first that was measured and is
    /// consistent; without, it is the one with the highest `combined_score`, the oldest of equal ones.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    pub fn duel(&self) -> Option<OpenDuel> {
        self.duel
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The selection of an attempt without an outcome.
    pub fn attempt_under_way(&self, attempt: u64) -> Option<&Selection> {
        self.open.iter().find(|open| open.number == attempt).map(|open| &open.selection)
    }

    pub fn open_attempts(&self) -> &[Attempt] {
        &self.open
    }

    pub fn candidate_limit(&self) -> u64 {
        self.candidate_limit
    }

    pub fn stopped(&self) -> Option<StopReason> {
        self.stopped
    }
}

/// The proposers that take part, in a fixed order, without the corpus, which comes before all of them.
fn proposers(settings: &Settings) -> impl Iterator<Item = Proposer> {
    let Parts { compose, cross, mutate } = settings.search.proposers;
    let offline = [(compose, Proposer::Compose), (mutate, Proposer::Mutate), (cross, Proposer::Cross)];
    let offline = offline.into_iter().filter(|(takes_part, _)| *takes_part).map(|(_, proposer)| proposer);
    offline.chain((0..settings.llm.models.len()).map(Proposer::Model))
}
