//! State: all that a search knows, and how others read it.

use std::collections::{BTreeSet, HashMap};

use packevolve_contract::case;
use packevolve_contract::clock::Clock;
use packevolve_contract::evaluation::Measurement;
use packevolve_contract::objective::{Scores, score_interval, scores};

use crate::search::bandit::Bandit;
use crate::search::best::{Best, Contender};
use crate::search::candidate::Candidate;
use crate::search::credit::Credit;
use crate::search::elites::Elites;
use crate::search::island::Islands;
use crate::search::models::Models;
use crate::search::pruning::Pruning;
use crate::values::candidate::{BlobId, CandidateId};
use crate::values::event::{Proposer, RunStarted, Selection, StopReason};
use crate::values::operator::Operator;
use crate::values::settings::{Parts, Settings};

/// The state of a search: a fold of its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    pub(super) origin: RunStarted,
    /// Names of the cases of the unit.
    unit: Vec<String>,
    pub(super) candidate_limit: u64,
    pub(super) baseline: Option<Measurement>,
    pub(super) baseline_held_out: Option<Measurement>,
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
    /// Candidates that looked better than the best, without an evaluation on held-out windows yet.
    pub(super) contenders: Vec<Contender>,
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
    pub outclassed: usize,
    pub rejected: usize,
}

impl Tally {
    pub fn ended(self) -> usize {
        self.measured + self.outclassed + self.rejected
    }
}

impl Search {
    pub fn new(origin: RunStarted) -> Self {
        let settings = &origin.settings;
        Self {
            unit: case::unit(&settings.evaluation.topology).iter().map(ToString::to_string).collect(),
            candidate_limit: settings.search.candidates,
            baseline: None,
            baseline_held_out: None,
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

    /// The baseline program on the windows of the search; `None` until it was measured.
    pub fn baseline(&self) -> Option<&Measurement> {
        self.baseline.as_ref()
    }

    /// The baseline program on the held-out windows; `None` until it was measured there.
    pub fn baseline_held_out(&self) -> Option<&Measurement> {
        self.baseline_held_out.as_ref()
    }

    /// Whether the baseline program is the seed program, so that one evaluation serves both.
    pub fn baseline_is_seed(&self) -> bool {
        self.origin.baseline == self.origin.program
    }

    pub fn holds_out(&self) -> bool {
        self.settings().evaluation.held_out_windows > 0
    }

    /// Scores of a measurement on the windows of the search; `None` until the baseline was measured.
    pub fn scores(&self, measurement: &Measurement) -> Option<Scores> {
        self.baseline.as_ref().map(|baseline| self.scores_against(measurement, baseline))
    }

    /// Scores of a measurement on held-out windows; `None` until the baseline was measured there.
    pub fn held_out_scores(&self, measurement: &Measurement) -> Option<Scores> {
        self.baseline_held_out.as_ref().map(|baseline| self.scores_against(measurement, baseline))
    }

    /// Scores of a measurement on both sides together. The baseline must be measured on both.
    pub fn pooled_scores(&self, measurement: &Measurement) -> Scores {
        let baselines = self.baseline.as_ref().zip(self.baseline_held_out.as_ref());
        let (seen, held_out) = baselines.expect("BUG: the baseline is measured first");
        self.scores_against(measurement, &seen.pooled(held_out))
    }

    /// What normalises the times of this run.
    pub fn clock(&self) -> Clock {
        self.baseline.as_ref().map_or(Clock::RELATIVE, Measurement::clock)
    }

    fn scores_against(&self, measurement: &Measurement, baseline: &Measurement) -> Scores {
        scores(measurement, baseline, self.settings().evaluation.weights, &self.unit, self.clock())
    }

    /// Half the width of the interval of a measurement's score; 0 without a baseline.
    pub(super) fn half_width(&self, measurement: &Measurement, baseline: Option<&Measurement>) -> f64 {
        let weights = self.settings().evaluation.weights;
        baseline.map_or(0.0, |baseline| score_interval(measurement, baseline, weights))
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

    /// The best candidate. With windows held out it is the last that was confirmed on them, or else the first that was
    /// measured; without, it is the one with the highest `combined_score`, the oldest of equal ones.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
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
