//! State: all that a search knows, and how others read it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use packevolve_contract::case;
use packevolve_contract::clock::Clock;
use packevolve_contract::duel::{Duel, Verdict};
use packevolve_contract::evaluation::{CaseMeasurement, Measurement};
use packevolve_contract::objective::{
    Objective, Pairing, Scores, Yardstick, baseline_interval, own_interval, score_interval, scores,
};
use packevolve_contract::serving::Serving;

use crate::search::bandit::Bandit;
use crate::search::best::{Best, Contender, OpenDuel};
use crate::search::candidate::{Candidate, Outcome};
use crate::search::credit::Credit;
use crate::search::elites::{Bands, Elites};
use crate::search::island::Islands;
use crate::search::models::Models;
use crate::search::places::Places;
use crate::search::pruning::Pruning;
use crate::values::candidate::{BlobId, CandidateId};
use crate::values::event::{GivenProposal, Proposer, RunStarted, Selection, StopReason};
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
    /// Candidates with a partial outcome, and the seconds that it took.
    pub(super) partial: BTreeMap<CandidateId, f64>,
    /// Whether a limit is near that the search does not see.
    pub(super) limit_near: bool,
    pub(super) tally: Tally,
    pub(super) by_program: HashMap<BlobId, CandidateId>,
    pub(super) by_normalised: HashMap<BlobId, CandidateId>,
    /// For each document of the corpus the candidate that it made.
    pub(super) corpus: Vec<Option<CandidateId>>,
    /// What a person handed to the run, in order, and how much of it was tried.
    pub(super) given: Vec<GivenProposal>,
    pub(super) given_tried: usize,
    pub(super) attempts: u64,
    /// Attempts that have made no candidate and were not declined yet.
    pub(super) open: Vec<Attempt>,
    pub(super) declined_in_a_row: u64,
    pub(super) islands: Islands,
    pub(super) elites: Elites,
    pub(super) credit: Credit,
    pub(super) pruning: Pruning,
    pub(super) models: Models,
    pub(super) places: Places,
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

    /// Counts an outcome once more, or once less.
    pub(super) fn count(&mut self, outcome: &Outcome, times: isize) {
        let count = match outcome {
            Outcome::Measured(_) => &mut self.measured,
            Outcome::Inconsistent(_) => &mut self.inconsistent,
            Outcome::Outclassed => &mut self.outclassed,
            Outcome::Rejected => &mut self.rejected,
        };
        *count = count.checked_add_signed(times).expect("BUG: only what was counted is taken back");
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
            partial: BTreeMap::new(),
            limit_near: false,
            tally: Tally::default(),
            by_program: HashMap::from([(origin.seed.program, CandidateId::SEED)]),
            by_normalised: HashMap::from([(origin.seed.normalised, CandidateId::SEED)]),
            corpus: vec![None; origin.corpus.len()],
            given: Vec::new(),
            given_tried: 0,
            attempts: 0,
            open: Vec::new(),
            declined_in_a_row: 0,
            islands: Islands::new(settings.search.clone()),
            elites: Elites::new(bands(settings)),
            credit: Credit::new(proposers(settings)),
            pruning: Pruning::new(settings.search.prune_attempts),
            models: Models::new(&settings.llm),
            places: Places::new(settings, &origin.judge),
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
        self.only_reports()
            || matches!(self.known(candidate).proposer, None | Some(Proposer::Corpus(_) | Proposer::Person(_)))
    }

    /// Whether the next evaluation of a candidate measures one window of each case, and the others later. Given proposals
    /// are slow programs as a rule: the first verdict needs little, and other proposers have better programs to measure
    /// meanwhile.
    pub fn is_measured_partially(&self, candidate: CandidateId) -> bool {
        let known = self.known(candidate);
        let is_given = matches!(known.proposer, Some(Proposer::Corpus(_)));
        is_given
            && known.outcome.is_none()
            && self.baseline.as_ref().is_some_and(|baseline| windows_of_a_case(baseline) > 1)
    }

    /// The candidates whose outcome is partial.
    pub fn partial(&self) -> impl ExactSizeIterator<Item = CandidateId> {
        self.partial.keys().copied()
    }

    /// How long it takes to complete the partial outcomes, one after the other, seconds: as long as their first windows,
    /// for each window.
    pub fn completion_seconds(&self) -> f64 {
        self.partial.values().sum::<f64>() * self.baseline.as_ref().map_or(0, windows_of_a_case) as f64
    }

    /// Whether a limit was said to be near that the search does not see.
    pub fn is_limit_near(&self) -> bool {
        self.limit_near
    }

    /// Scores of a measurement on the windows of the search; `None` until the baseline was measured.
    pub fn scores(&self, measurement: &Measurement) -> Option<Scores> {
        self.scores_by(measurement, Pairing::Shared)
    }

    /// Scores of a measurement on windows that the baseline never saw, all or some of them; `None` until the baseline was
    /// measured. Of a policy there is no difference.
    pub fn pooled_scores(&self, measurement: &Measurement) -> Option<Scores> {
        self.scores_by(measurement, Pairing::Pooled)
    }

    /// Scores of a policy on the chains of the search, at other prices; `None` until the baseline was measured.
    pub fn priced(&self, measurement: &Measurement, serving: &Serving) -> Option<Scores> {
        let yardstick = Yardstick { objective: Objective::Policy(*serving), ..self.yardstick(Pairing::Shared)? };
        Some(scores(measurement, yardstick, &self.unit, self.clock()))
    }

    fn scores_by(&self, measurement: &Measurement, pairing: Pairing) -> Option<Scores> {
        Some(scores(measurement, self.yardstick(pairing)?, &self.unit, self.clock()))
    }

    pub(super) fn yardstick(&self, pairing: Pairing) -> Option<Yardstick<'_>> {
        let objective = self.settings().evaluation.objective();
        self.baseline.as_ref().map(|baseline| Yardstick { baseline, objective, pairing })
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

    /// What the errors of two baselines add to the difference of two programs, if one of them was measured on a device
    /// with a baseline of its own.
    pub(super) fn baselines_error(&self, device: Option<usize>) -> f64 {
        let own = device.and_then(|device| self.places.devices()[device].baseline.as_ref());
        own.zip(self.yardstick(Pairing::Pooled)).map_or(0.0, |(baseline, yardstick)| {
            baseline_interval(Yardstick { baseline, ..yardstick }).hypot(baseline_interval(yardstick))
        })
    }

    /// The difference of both programs in a duel in a slot with this device; `None` if one of them was rejected.
    pub fn verdict(&self, device: usize, duel: &Duel) -> Option<Verdict> {
        let (contender, best) = duel.contender.measured().zip(duel.best.measured())?;
        let [contender, best] = [contender, best].map(|measured| self.compared(Some(device), measured));
        Some(Verdict::new(&contender, &best, self.yardstick(Pairing::Pooled)?))
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

    /// The proposals that a person handed to the run under way, in order.
    pub fn given(&self) -> &[GivenProposal] {
        &self.given
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

    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The baseline program as an open slot compares with it.
    pub fn baseline_of(&self, slot: usize) -> Option<&Measurement> {
        self.places.own_baseline(slot).or(self.baseline())
    }

    /// A measurement of a candidate, so that it compares with others: those on a device that is unlike the first one's are
    /// relative to the baseline on their own device.
    pub fn compared<'a>(&self, device: Option<usize>, measured: &'a Measurement) -> Cow<'a, Measurement> {
        match (device, &self.baseline) {
            (Some(device), Some(baseline)) => self.places.compared(device, measured, baseline),
            _ => Cow::Borrowed(measured),
        }
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

/// On how many windows each case was measured, or on how many chains. The baseline may have several samples of one.
fn windows_of_a_case(baseline: &Measurement) -> usize {
    let windows = |case: &CaseMeasurement| BTreeSet::from_iter(case.samples.iter().map(|sample| sample.window)).len();
    baseline.cases.iter().map(windows).max().unwrap_or(baseline.chains.len())
}

fn bands(settings: &Settings) -> Bands {
    let bands = settings.search.pareto_bins;
    if settings.evaluation.policy.is_some() { Bands::OfLack(bands) } else { Bands::OfQuality(bands) }
}

/// The proposers that take part, in a fixed order, without the corpus, which comes before all of them.
fn proposers(settings: &Settings) -> impl Iterator<Item = Proposer> {
    let Parts { compose, cross, mutate } = settings.search.proposers;
    let offline = [(compose, Proposer::Compose), (mutate, Proposer::Mutate), (cross, Proposer::Cross)];
    let offline = offline.into_iter().filter(|(takes_part, _)| *takes_part).map(|(_, proposer)| proposer);
    offline.chain((0..settings.llm.models.len()).map(Proposer::Model))
}
