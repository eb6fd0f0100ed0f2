//! Search: decides what to try next, from nothing but the events so far.
//!
//! No IO, clock, thread or global generator; it cannot fail. State changes only through [`Search::apply`], which a live
//! run, `resume` and `replay` call alike; [`Search::next`] and [`Search::tasks`] are pure functions of that state.

use std::collections::{BTreeSet, HashMap};

use packevolve_contract::case;
use packevolve_contract::clock::Clock;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Scores, score_interval, scores};
use packevolve_contract::protocol::WindowSet;
use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::search::bandit::{Bandit, Reward};
use crate::search::best::{Best, Contender, HeldOut};
use crate::search::credit::{Credit, Outcome};
use crate::search::elites::Archive;
use crate::search::island::{IslandSettings, Islands};
use crate::search::models::Models;
use crate::search::population::Member;
use crate::search::pruning::{Pruning, keeps_up};
use crate::values::candidate::{BlobId, CandidateId, CommitId};
use crate::values::event::{
    Asking, CandidateCreated, Declined, Event, Kind, ModelAsked, Proposer, RunStarted, Selection, StopReason,
};
use crate::values::operator::Operator;
use crate::values::settings::{Parts, SearchSettings, Settings};

/// After so many attempts in a row that made no candidate, nothing new is to be expected.
const EXHAUSTED_AFTER: u64 = 100;

/// Other candidates that a proposer is shown, at most.
const MOST_INSPIRATIONS: usize = 3;
/// How often a language model is asked for a whole program, and for the best of two; else for an edit.
const REWRITES: f64 = 0.2;
const CROSSOVERS: f64 = 0.2;

/// What is known of a candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// NAME of the proposal that made it; `seed` for the seed program.
    pub name: String,
    /// Where its proposal came from; `None` for the seed program.
    pub proposer: Option<Proposer>,
    /// What it is an edit of.
    pub parents: Vec<CandidateId>,
    /// The island that it was born on.
    pub island: usize,
    /// Its commit.
    pub commit: CommitId,
    /// Its program.
    pub program: BlobId,
    /// How many tokens that has, comments, blank lines and words for the reader left out.
    pub size: u64,
    /// What its proposer did, if it can do several things.
    pub operator: Option<Operator>,
    /// The place of what was cut from its parent, if it was pruned.
    pub cut: Option<u64>,
    /// Below which score its evaluation may stop.
    pub outclassed_below: Option<f64>,
    /// How its evaluation ended, once it has.
    pub verdict: Option<Verdict>,
    /// What came of its evaluation on held-out windows, if it looked like the best.
    pub ruling: Option<Ruling>,
    /// How often it was chosen as a parent.
    pub times_chosen: u64,
    /// In which form a language model was asked for it.
    pub kind: Option<Kind>,
    /// How many rejected candidates went back to the model one after another until it answered with this one.
    pub repairs: u32,
}

/// How an evaluation ended, and the scores if it was measured in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Verdict {
    /// Measured in full; after a refutation the scores are those of all windows together.
    Measured(Box<Scores>),
    /// Stopped early.
    Outclassed,
    /// It has no score.
    Rejected,
}

/// What came of a candidate on the windows that are held out from the search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ruling {
    /// Whether it was better there than the best at that time, and so became the best.
    pub confirmed: bool,
    /// What it is worth there; `None` if it was rejected there.
    pub scores: Option<Box<Scores>>,
}

/// A program to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// What scores are relative to.
    Baseline,
    /// A candidate.
    Candidate(CandidateId),
}

/// A measurement that the search waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// Of which program.
    pub subject: Subject,
    /// On which windows.
    pub windows: WindowSet,
}

/// How many evaluations ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Measured in full.
    pub measured: usize,
    /// Stopped early.
    pub outclassed: usize,
    /// Without a score.
    pub rejected: usize,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Make this attempt.
    Attempt {
        /// Its number.
        attempt: u64,
        /// What to try.
        selection: Selection,
    },
    /// Nothing until a running evaluation has ended.
    Wait,
    /// Nothing more.
    Stop(StopReason),
}

/// The state of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    started: RunStarted,
    /// Names of the cases of the unit.
    unit: Vec<String>,
    candidate_limit: u64,
    baseline: Option<Measurement>,
    /// The baseline on the windows that are held out.
    baseline_held_out: Option<Measurement>,
    #[serde(skip)]
    candidates: Vec<Candidate>,
    /// Candidates without an evaluation.
    waiting: BTreeSet<CandidateId>,
    tally: Tally,
    by_program: HashMap<BlobId, CandidateId>,
    by_normalised: HashMap<BlobId, CandidateId>,
    /// By place in the corpus.
    corpus: Vec<Option<CandidateId>>,
    attempts: u64,
    /// Selections whose attempt has not made a candidate or been declined yet.
    open: Vec<(u64, Selection)>,
    declined_in_a_row: u64,
    islands: Islands,
    archive: Archive,
    credit: Credit,
    pruning: Pruning,
    models: Models,
    best: Option<Best>,
    /// Those that looked better than the best when they were judged, and were not judged on held-out windows yet.
    contenders: Vec<Contender>,
    stopped: Option<StopReason>,
}

impl Search {
    /// The state right after the first event of a run.
    pub fn new(started: RunStarted) -> Self {
        let seed = Candidate {
            name: "seed".to_owned(),
            proposer: None,
            parents: Vec::new(),
            island: 0,
            commit: started.commit,
            program: started.program,
            size: started.size,
            operator: None,
            cut: None,
            outclassed_below: None,
            verdict: None,
            ruling: None,
            times_chosen: 0,
            kind: None,
            repairs: 0,
        };
        let settings = &started.settings;
        let SearchSettings { islands, population, migration, restart, front, .. } = settings.search;
        let climate = IslandSettings { islands, population, migrate_every: migration, restart_after: restart };
        Self {
            unit: case::unit(&settings.evaluation.topology).iter().map(ToString::to_string).collect(),
            candidate_limit: settings.search.candidates,
            baseline: None,
            baseline_held_out: None,
            by_program: HashMap::from([(started.program, CandidateId::SEED)]),
            by_normalised: HashMap::from([(started.normalised, CandidateId::SEED)]),
            candidates: vec![seed],
            waiting: BTreeSet::from([CandidateId::SEED]),
            tally: Tally::default(),
            corpus: vec![None; started.corpus.len()],
            attempts: 0,
            open: Vec::new(),
            declined_in_a_row: 0,
            islands: Islands::new(climate),
            archive: Archive::new(front),
            credit: Credit::new(proposers(settings)),
            pruning: Pruning::new(settings.search.prune),
            models: Models::new(&settings.llm),
            best: None,
            contenders: Vec::new(),
            stopped: None,
            started,
        }
    }

    /// Whether `event` can follow this state; the reason if not. Every event of a live run can.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn check(&self, event: &Event) -> Result<(), String> {
        if self.stopped.is_some() && !matches!(event, Event::RunResumed { .. }) {
            return Err("the run has stopped and was not resumed".to_owned());
        }
        match event {
            Event::RunStarted(_) => Err("a run starts once".to_owned()),
            Event::BaselineEvaluated { .. } if self.baseline.is_some() => Err("the baseline is known".to_owned()),
            Event::BaselineHeldOut { .. } => self.check_baseline_held_out(),
            Event::Selected { .. } | Event::CandidateEvaluated { .. } if self.baseline.is_none() => {
                Err("there is no baseline yet".to_owned())
            }
            Event::Selected { attempt, selection } => self.check_selected(*attempt, selection),
            Event::ModelAsked(asked) => self.check_asked(asked),
            Event::ModelPaused { model, .. } if self.models.is_ready(*model) => Ok(()),
            Event::ModelPaused { model, .. } => Err(format!("language model {model} is not asked anyway")),
            Event::ModelResumed { model } if self.models.is_paused(*model) => Ok(()),
            Event::ModelResumed { model } => Err(format!("language model {model} is not paused")),
            Event::ProposalDeclined { attempt, reason, .. } => self.check_declined(*attempt, reason),
            Event::CandidateCreated(created) => self.check_created(created),
            Event::CandidateEvaluated { candidate, evaluation } => self.check_evaluated(*candidate, evaluation),
            Event::Confirmed { candidate, measurement } => self.check_confirmed(*candidate, measurement),
            Event::Refuted { candidate, evaluation } => self.check_refuted(*candidate, evaluation),
            Event::BaselineEvaluated { .. } | Event::RunStopped { .. } | Event::RunResumed { .. } => Ok(()),
        }
    }

    fn check_selected(&self, attempt: u64, selection: &Selection) -> Result<(), String> {
        if attempt != self.attempts {
            return Err(format!("attempt {attempt}, but {} is the next", self.attempts));
        }
        match selection.proposer {
            Proposer::Corpus(place) if place >= self.corpus.len() => {
                return Err(format!("the corpus has {} documents, none at place {place}", self.corpus.len()));
            }
            Proposer::Corpus(place) if self.corpus[place].is_some() => {
                return Err(format!("the document at place {place} of the corpus made a candidate before"));
            }
            Proposer::Model(model) if model >= self.models.count() => {
                return Err(format!("there are {} language models, none at place {model}", self.models.count()));
            }
            _ => {}
        }
        if let Some(operator) = selection.operator.filter(|one| !selection.proposer.operators().contains(one)) {
            return Err(format!("{} has no operator {operator}", selection.proposer));
        }
        if (selection.proposer == Proposer::Prune) != selection.cut.is_some() {
            return Err("what is pruned, and nothing else, is cut at some place".to_owned());
        }
        if selection.cut.is_some() && self.best.as_ref().is_none_or(|best| best.candidate != selection.parent) {
            return Err(format!("candidate {} is not the best, and nothing else is pruned", selection.parent));
        }
        if matches!(selection.proposer, Proposer::Model(_)) != selection.kind.is_some() {
            return Err("a language model, and nobody else, is asked in some form".to_owned());
        }
        if let Some(candidate) = selection.repairs.filter(|candidate| !self.models.rejected().contains(candidate)) {
            return Err(format!("candidate {candidate} is not to go back to a language model"));
        }
        if selection.island >= self.islands.count() {
            return Err(format!("there is no island {}", selection.island));
        }
        selection.parents().try_for_each(|parent| self.existing(parent).map(drop))?;
        selection.inspirations.iter().try_for_each(|other| self.existing(*other).map(drop))
    }

    fn check_asked(&self, asked: &ModelAsked) -> Result<(), String> {
        let model = asked.model;
        if model >= self.models.count() {
            return Err(format!("there are {} language models, none at place {model}", self.models.count()));
        }
        match asked.asking {
            Asking::Proposal(attempt) if self.opened(attempt)?.proposer != Proposer::Model(model) => {
                Err(format!("attempt {attempt} is not that of language model {model}"))
            }
            Asking::Proposal(_) | Asking::Summary => Ok(()),
        }
    }

    fn check_declined(&self, attempt: u64, reason: &Declined) -> Result<(), String> {
        self.opened(attempt)?;
        match reason {
            Declined::Duplicate { of } | Declined::NotNovel { of } => self.existing(*of).map(drop),
            Declined::Unreadable { .. }
            | Declined::DoesNotApply { .. }
            | Declined::NothingNew
            | Declined::Unanswered { .. }
            | Declined::Unusable { .. } => Ok(()),
        }
    }

    fn check_created(&self, created: &CandidateCreated) -> Result<(), String> {
        let selection = self.opened(created.attempt)?;
        if created.candidate.index() != self.candidates.len() {
            return Err(format!("candidate {}, but {} is the next", created.candidate, self.candidates.len()));
        }
        if !selection.parents().eq(created.parents.iter().copied()) {
            return Err(format!("candidate {} has other parents than were selected", created.candidate));
        }
        if let Some(operator) = created.operator.filter(|one| !selection.proposer.operators().contains(one)) {
            return Err(format!("{} has no operator {operator}", selection.proposer));
        }
        match self.seen(&created.program).or_else(|| self.seen_normalised(&created.normalised)) {
            Some(of) => Err(format!("candidate {} is the same program as candidate {of}", created.candidate)),
            None => Ok(()),
        }
    }

    fn check_evaluated(&self, candidate: CandidateId, evaluation: &Evaluation) -> Result<(), String> {
        let known = self.existing(candidate)?;
        if known.verdict.is_some() {
            return Err(format!("candidate {candidate} was judged before"));
        }
        let outclassed = matches!(evaluation, Evaluation::Outclassed { .. });
        if outclassed && known.outclassed_below.is_none() {
            return Err(format!("candidate {candidate} was to be measured in full"));
        }
        Ok(())
    }

    fn check_baseline_held_out(&self) -> Result<(), String> {
        if !self.holds_out() {
            return Err("no windows are held out".to_owned());
        }
        match self.baseline_held_out {
            Some(_) => Err("the baseline is known on the held-out windows".to_owned()),
            None => Ok(()),
        }
    }

    fn check_confirmed(&self, candidate: CandidateId, measurement: &Measurement) -> Result<(), String> {
        self.contender(candidate)?;
        if self.rules_for(candidate, measurement)? {
            return Ok(());
        }
        Err(format!("candidate {candidate} is refuted by this"))
    }

    fn check_refuted(&self, candidate: CandidateId, evaluation: &Evaluation) -> Result<(), String> {
        self.contender(candidate)?;
        match evaluation {
            Evaluation::Measured { measurement } if self.rules_for(candidate, measurement)? => {
                Err(format!("candidate {candidate} is confirmed by this"))
            }
            Evaluation::Measured { .. } | Evaluation::Rejected { .. } => Ok(()),
            Evaluation::Outclassed { .. } => Err(format!("candidate {candidate} was to be measured in full")),
        }
    }

    fn contender(&self, candidate: CandidateId) -> Result<&Contender, String> {
        let contender = self.contenders.iter().find(|contender| contender.candidate == candidate);
        contender.ok_or_else(|| format!("candidate {candidate} is not to be judged on held-out windows"))
    }

    /// Whether what was measured of a contender on held-out windows makes it the best: it is better there, or it was cut
    /// from the best and is as good.
    fn rules_for(&self, candidate: CandidateId, measurement: &Measurement) -> Result<bool, String> {
        let scores = self.held_out_scores(measurement).ok_or("the baseline is not known on the held-out windows")?;
        let best = self.to_beat(|best| best.held_out.as_ref().map_or(f64::NEG_INFINITY, |held_out| held_out.score()));
        let best = best.and_then(|best| best.held_out.as_ref());
        let is_better = best.is_none_or(|best| scores.combined_score > best.score());
        Ok(is_better || self.is_cut_from_best(candidate) && self.keeps_up_there(&scores, measurement))
    }

    /// The best, or what that was pruned from, whichever has more of a score.
    fn to_beat(&self, score: impl Fn(&Best) -> f64) -> Option<&Best> {
        let best = self.best.as_ref()?;
        let origin = self.pruning.origin(best.candidate).filter(|origin| score(origin) > score(best));
        Some(origin.unwrap_or(best))
    }

    /// Whether something was pruned from what is the best now, and is not longer.
    fn is_cut_from_best(&self, candidate: CandidateId) -> bool {
        let known = self.known(candidate);
        let best = self.best.as_ref().filter(|best| known.cut.is_some() && known.parents == [best.candidate]);
        best.is_some_and(|best| known.size <= self.known(best.candidate).size)
    }

    /// Whether a cut costs nothing that could be seen, on the windows of the search.
    fn keeps_up(&self, candidate: CandidateId, score: f64, interval: f64) -> bool {
        let best = self.best.as_ref().filter(|_| self.is_cut_from_best(candidate));
        let origin = best.and_then(|best| self.pruning.origin(best.candidate));
        origin.is_some_and(|origin| keeps_up((score, interval), (origin.score, origin.interval)))
    }

    /// The same on held-out windows. A score that was asked for is not pruned away.
    fn keeps_up_there(&self, scores: &Scores, measurement: &Measurement) -> bool {
        let origin = self.best.as_ref().and_then(|best| self.pruning.origin(best.candidate));
        let Some((origin, there)) = origin.and_then(|origin| Some((origin, origin.held_out.as_ref()?))) else {
            return false;
        };
        let interval = |measurement| self.interval_against(measurement, self.baseline_held_out.as_ref());
        let target = self.started.settings.search.target_score.filter(|target| origin.told_score() >= *target);
        let own = (scores.combined_score, interval(measurement));
        keeps_up(own, (there.score(), interval(&there.measurement))) && target.is_none_or(|target| own.0 >= target)
    }

    fn existing(&self, id: CandidateId) -> Result<&Candidate, String> {
        self.candidate(id).ok_or_else(|| format!("there is no candidate {id}"))
    }

    /// What an attempt is to try that has no outcome yet.
    fn opened(&self, attempt: u64) -> Result<&Selection, String> {
        self.attempt_under_way(attempt).ok_or_else(|| format!("attempt {attempt} is not open"))
    }

    /// Takes in what happened.
    ///
    /// # Panics
    /// On an event that [`Search::check`] refuses.
    pub fn apply(&mut self, event: &Event) {
        if let Err(reason) = self.check(event) {
            panic!("BUG: {reason}");
        }
        match event {
            Event::RunStarted(_) => unreachable!("BUG: refused by check"),
            Event::BaselineEvaluated { measurement } => self.know_baseline(measurement),
            Event::BaselineHeldOut { measurement } => self.know_held_out_baseline(measurement),
            Event::Selected { attempt, selection } => self.open_attempt(*attempt, selection),
            Event::ModelAsked(ModelAsked { model, charge, .. }) => {
                self.models.spend(*charge);
                self.credit.charged(Proposer::Model(*model), *charge);
            }
            Event::ModelPaused { model, error } => self.models.pause(*model, error),
            Event::ModelResumed { model } => self.models.go_on(*model),
            Event::ProposalDeclined { attempt, reason, .. } => self.decline(*attempt, reason),
            Event::CandidateCreated(created) => self.add(created),
            Event::CandidateEvaluated { candidate, evaluation } => self.judge(*candidate, evaluation),
            Event::Confirmed { candidate, measurement } => self.confirm(*candidate, measurement),
            Event::Refuted { candidate, evaluation } => self.refute(*candidate, evaluation),
            Event::RunStopped { reason } => self.stopped = Some(*reason),
            Event::RunResumed { candidates } => {
                self.stopped = None;
                self.candidate_limit = *candidates;
                self.models.all_go_on();
            }
        }
    }

    /// What to do next. Decided from the state alone: asking twice gives the same answer.
    ///
    /// While there is as much to be measured as can be measured at the same time, only language models are asked, whose
    /// answers take their time.
    pub fn next(&self) -> Next {
        if self.baseline.is_none() {
            return Next::Wait;
        }
        if self.searched() >= self.candidate_limit {
            return self.prune_or(|| self.stop_or_wait(StopReason::Candidates));
        }
        if self.has_reached_target() {
            // What models have not answered yet is not waited for.
            let is_settled = self.tasks().next().is_none() && self.open.iter().all(|(_, s)| s.kind.is_some());
            return self.prune_or(|| if is_settled { Next::Stop(StopReason::Target) } else { Next::Wait });
        }
        if self.searched() + self.open.len() as u64 >= self.candidate_limit {
            return Next::Wait;
        }
        if self.declined_in_a_row >= EXHAUSTED_AFTER {
            return self.prune_or(|| self.stop_or_wait(StopReason::Exhausted));
        }
        let attempt = self.attempts;
        let selection = self.next_of_corpus().or_else(|| self.next_repair());
        match selection.or_else(|| self.next_cut(false)).or_else(|| self.drawn(attempt)) {
            Some(selection) => Next::Attempt { attempt, selection },
            // Whoever is paused comes back.
            None if self.models.is_any_paused() => Next::Wait,
            None => self.stop_or_wait(StopReason::Exhausted),
        }
    }

    /// The measurements to be made, what matters most first. One that is under way stays among them until its event.
    pub fn tasks(&self) -> impl Iterator<Item = Task> {
        let task = |windows| move |subject| Task { subject, windows };
        let baseline = self.baseline.is_none().then_some(Subject::Baseline).map(task(WindowSet::Search));
        let held_out = self.holds_out() && self.baseline_held_out.is_none();
        let held_out = held_out.then_some(Subject::Baseline).map(task(WindowSet::HeldOut));
        let candidate = |id: &CandidateId| Subject::Candidate(*id);
        let contenders = self.standing_contenders().into_iter().map(Subject::Candidate).map(task(WindowSet::HeldOut));
        let waiting = self.waiting.iter().filter(|_| self.baseline.is_some()).map(candidate);
        baseline.into_iter().chain(held_out).chain(contenders).chain(waiting.map(task(WindowSet::Search)))
    }

    /// What is to be recorded when a candidate was judged on held-out windows.
    ///
    /// # Panics
    /// If it was not to be.
    pub fn ruling(&self, candidate: CandidateId, evaluation: Evaluation) -> Event {
        match evaluation {
            Evaluation::Measured { measurement }
                if self.rules_for(candidate, &measurement).expect("BUG: no baseline there") =>
            {
                Event::Confirmed { candidate, measurement }
            }
            evaluation => Event::Refuted { candidate, evaluation },
        }
    }

    /// All candidates, which are most of a state, and which are not serialised with it.
    pub fn all_known(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Puts them back.
    #[must_use]
    pub fn with_all_known(self, candidates: Vec<Candidate>) -> Self {
        Self { candidates, ..self }
    }

    /// What the run started from.
    pub fn started(&self) -> &RunStarted {
        &self.started
    }

    /// Measurement of the baseline program, once there is one.
    pub fn baseline(&self) -> Option<&Measurement> {
        self.baseline.as_ref()
    }

    /// Measurement of the baseline program on the windows that are held out, once there is one.
    pub fn baseline_held_out(&self) -> Option<&Measurement> {
        self.baseline_held_out.as_ref()
    }

    /// Whether the baseline program is the seed program, so that one evaluation serves both.
    pub fn baseline_is_seed(&self) -> bool {
        self.started.baseline == self.started.program
    }

    /// Scores of a measurement in this run; `None` before the baseline was measured.
    pub fn scores(&self, measurement: &Measurement) -> Option<Scores> {
        self.baseline.as_ref().map(|baseline| self.scores_against(measurement, baseline))
    }

    /// Scores of a measurement on held-out windows; `None` before the baseline was measured there.
    pub fn held_out_scores(&self, measurement: &Measurement) -> Option<Scores> {
        self.baseline_held_out.as_ref().map(|baseline| self.scores_against(measurement, baseline))
    }

    /// What normalises the times of this run.
    pub fn clock(&self) -> Clock {
        self.baseline.as_ref().map_or(Clock::RELATIVE, Measurement::clock)
    }

    fn scores_against(&self, measurement: &Measurement, baseline: &Measurement) -> Scores {
        scores(measurement, baseline, self.started.settings.evaluation.weights, &self.unit, self.clock())
    }

    /// The candidates from the seed program to this one, each an edit of the one before.
    pub fn line_to(&self, candidate: CandidateId) -> Vec<CandidateId> {
        let edited = |id: &CandidateId| self.candidate(*id).and_then(|known| known.parents.first().copied());
        let mut line: Vec<CandidateId> = std::iter::successors(Some(candidate), edited).collect();
        line.reverse();
        line
    }

    /// The scores that a candidate goes by in the search; `None` if it has none.
    pub fn scores_of(&self, candidate: CandidateId) -> Option<&Scores> {
        match self.candidate(candidate)?.verdict.as_ref()? {
            Verdict::Measured(scores) => Some(scores),
            Verdict::Outclassed | Verdict::Rejected => None,
        }
    }

    /// All candidates with their numbers.
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = (CandidateId, &Candidate)> {
        self.candidates.iter().enumerate().map(|(number, known)| (CandidateId(number as u64), known))
    }

    /// One candidate.
    pub fn candidate(&self, id: CandidateId) -> Option<&Candidate> {
        self.candidates.get(id.index())
    }

    /// The candidate with this program, if it was seen before.
    pub fn seen(&self, program: &BlobId) -> Option<CandidateId> {
        self.by_program.get(program).copied()
    }

    /// The candidate whose program is the same but for comments, blank lines and names, if there is one.
    pub fn seen_normalised(&self, normalised: &BlobId) -> Option<CandidateId> {
        self.by_normalised.get(normalised).copied()
    }

    /// The populations.
    pub fn islands(&self) -> &Islands {
        &self.islands
    }

    /// The front and the best of each cell.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The proposers that are drawn from, each with what it has brought.
    pub fn bandit(&self) -> &Bandit<Proposer> {
        self.credit.proposers()
    }

    /// What a proposer can do, each with what it has brought; `None` of one that can do one thing only.
    pub fn operators(&self, proposer: Proposer) -> Option<&Bandit<Operator>> {
        self.credit.operators(proposer)
    }

    /// How far pruning the best has come.
    pub fn pruning(&self) -> &Pruning {
        &self.pruning
    }

    /// The language models.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The best candidate. With windows held out it is the last that was confirmed on them, or what was measured first;
    /// otherwise the one with the highest `combined_score`, of equal ones the oldest.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    /// How many candidates were judged, and how it went.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// What an attempt is to try that has no outcome yet.
    pub fn attempt_under_way(&self, attempt: u64) -> Option<&Selection> {
        self.open.iter().find(|(open, _)| *open == attempt).map(|(_, selection)| selection)
    }

    /// Selections without an outcome yet: what a model was asked for, or a crash left between a decision and what came
    /// of it.
    pub fn open_attempts(&self) -> &[(u64, Selection)] {
        &self.open
    }

    /// How many candidates the run is to make.
    pub fn candidate_limit(&self) -> u64 {
        self.candidate_limit
    }

    /// The youngest candidate that both come from; one of them, if the other comes from it.
    pub fn common_ancestor(&self, one: CandidateId, other: CandidateId) -> Option<CandidateId> {
        let (one, other) = (self.line_of(one), self.line_of(other));
        one.intersection(&other).max().copied()
    }

    /// A candidate and all that it comes from.
    fn line_of(&self, candidate: CandidateId) -> BTreeSet<CandidateId> {
        let mut line = BTreeSet::new();
        let mut left = vec![candidate];
        while let Some(candidate) = left.pop() {
            if line.insert(candidate) {
                left.extend_from_slice(&self.candidates[candidate.index()].parents);
            }
        }
        line
    }

    /// Why the run stopped, if it has.
    pub fn stopped(&self) -> Option<StopReason> {
        self.stopped
    }

    fn stop_or_wait(&self, reason: StopReason) -> Next {
        if self.is_settled() { Next::Stop(reason) } else { Next::Wait }
    }

    fn is_settled(&self) -> bool {
        self.open.is_empty() && self.tasks().next().is_none()
    }

    /// Candidates that count as those that a run is asked for: all but what was pruned.
    fn searched(&self) -> u64 {
        self.candidates.len() as u64 - self.pruning.made()
    }

    /// Before the run ends its best is pruned.
    fn prune_or(&self, end: impl FnOnce() -> Next) -> Next {
        match self.next_cut(true) {
            Some(selection) => Next::Attempt { attempt: self.attempts, selection },
            None => end(),
        }
    }

    /// The next thing to cut from the best. A pass begins when the best has stood for long, or the search is at its end.
    fn next_cut(&self, is_at_end: bool) -> Option<Selection> {
        let is_known = |best: &&Best| best.held_out.is_some() || !self.holds_out();
        let best = self.best.as_ref().filter(is_known)?;
        let known = self.known(best.candidate);
        if self.is_busy() || known.proposer.is_none() {
            return None;
        }
        let may_begin = if is_at_end { self.is_settled() } else { self.pruning.has_stood(self.attempts) };
        let cut = Some(self.pruning.next(best.candidate, may_begin)?);
        let outclassed_below = Some(self.pruning.lowest(best));
        Some(Selection { cut, outclassed_below, ..Selection::of(Proposer::Prune, known.island, best.candidate) })
    }

    /// The first document of the corpus that was not tried yet. If its parent's document made no program, it is tried
    /// on the seed program, so that its near misses are told.
    fn next_of_corpus(&self) -> Option<Selection> {
        let place = usize::try_from(self.attempts).ok().filter(|place| *place < self.corpus.len())?;
        let parent = self.started.corpus[place].parent.and_then(|parent| *self.corpus.get(parent)?);
        let island = place % self.islands.count();
        Some(Selection::of(Proposer::Corpus(place), island, parent.unwrap_or(CandidateId::SEED)))
    }

    /// The first rejected candidate that can go back to its language model now.
    fn next_repair(&self) -> Option<Selection> {
        let is_free =
            |candidate: &&CandidateId| self.known(**candidate).proposer.is_some_and(|by| self.can_request(by));
        let candidate = *self.models.rejected().iter().find(is_free)?;
        let Candidate { proposer, island, kind, parents, .. } = self.known(candidate);
        let (parent, others) = parents.split_first().expect("BUG: a language model edits somebody's program");
        let proposer = proposer.expect("BUG: a candidate of a language model");
        Some(Selection {
            inspirations: others.to_vec(),
            outclassed_below: self.islands.admission_score(*island),
            kind: *kind,
            repairs: Some(candidate),
            ..Selection::of(proposer, *island, *parent)
        })
    }

    fn known(&self, candidate: CandidateId) -> &Candidate {
        &self.candidates[candidate.index()]
    }

    /// Whether a proposer is a language model that can be sent a request now. None is as long as more candidates wait
    /// for a slot than there are slots.
    fn can_request(&self, proposer: Proposer) -> bool {
        let Proposer::Model(model) = proposer else { return false };
        let slots = self.started.settings.search.slots;
        let open = self.open.iter().filter(|(_, selection)| selection.proposer == proposer).count();
        let is_backed_up = self.waiting.len().saturating_sub(slots) > slots;
        self.models.is_ready(model) && open < self.started.settings.llm.models[model].requests && !is_backed_up
    }

    /// Whether there is as much to be measured as can be measured at the same time.
    fn is_busy(&self) -> bool {
        self.tasks().count() >= self.started.settings.search.slots
    }

    /// The islands take turns; who proposes is the bandit's choice, the parent is drawn.
    fn drawn(&self, attempt: u64) -> Option<Selection> {
        let mut rng = stream(self.started.settings.rng_seed, attempt, Purpose::Selection);
        let count = self.islands.count();
        let turn = usize::try_from(attempt % count as u64).expect("BUG: fewer islands than a usize holds");
        let island = (0..count).map(|on| (turn + on) % count).find(|at| !self.islands.members(*at).is_empty())?;
        let times_chosen = |id: CandidateId| self.candidates[id.index()].times_chosen;
        let parent = crate::search::select::parent(self.islands.members(island), times_chosen, &mut rng)?;
        let others = crate::search::select::inspirations(&self.ranked(), parent, MOST_INSPIRATIONS, &mut rng);
        let is_busy = self.is_busy();
        let can = |proposer| match proposer {
            Proposer::Model(_) => self.can_request(proposer),
            _ => !is_busy && others.len() >= inspirations(proposer).0,
        };
        let (proposer, operator) = self.credit.choose(can)?;
        let kind = matches!(proposer, Proposer::Model(_)).then(|| self.kind(attempt, !others.is_empty()));
        let inspirations = others.into_iter().take(inspirations(proposer).1).collect();
        let outclassed_below = self.islands.admission_score(island);
        let of = Selection::of(proposer, island, parent);
        Some(Selection { inspirations, outclassed_below, operator, kind, ..of })
    }

    /// In which form a language model is asked.
    fn kind(&self, attempt: u64, has_others: bool) -> Kind {
        let draw: f64 = stream(self.started.settings.rng_seed, attempt, Purpose::Proposal).random();
        match draw {
            draw if draw < REWRITES => Kind::Rewrite,
            draw if draw < REWRITES + CROSSOVERS && has_others => Kind::Crossover,
            _ => Kind::Edit,
        }
    }

    /// The archive, best first.
    fn ranked(&self) -> Vec<Member> {
        let mut members = self.archive.members();
        members.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.candidate.cmp(&b.candidate)));
        members
    }

    fn has_reached_target(&self) -> bool {
        let target = self.started.settings.search.target_score;
        let best = self.best.as_ref().filter(|best| best.held_out.is_some() || !self.holds_out());
        target.zip(best).is_some_and(|(target, best)| best.told_score() >= target)
    }

    fn know_baseline(&mut self, measurement: &Measurement) {
        self.baseline = Some(measurement.clone());
        if self.baseline_is_seed() {
            self.judge(CandidateId::SEED, &Evaluation::Measured { measurement: measurement.clone() });
            self.complete_seed();
        }
    }

    fn know_held_out_baseline(&mut self, measurement: &Measurement) {
        self.baseline_held_out = Some(measurement.clone());
        self.complete_seed();
    }

    /// Where the seed program is the baseline, what is known of the one on held-out windows is known of the other.
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

    fn open_attempt(&mut self, attempt: u64, selection: &Selection) {
        self.attempts += 1;
        match (selection.cut, &self.best) {
            (Some(place), Some(best)) => self.pruning.tried(best, place),
            _ => self.candidates[selection.parent.index()].times_chosen += 1,
        }
        self.credit.tried(selection.proposer);
        selection.repairs.into_iter().for_each(|candidate| self.models.sent_back(candidate));
        self.open.push((attempt, selection.clone()));
    }

    fn close_attempt(&mut self, attempt: u64) -> Selection {
        let at = self.open.iter().position(|(open, _)| *open == attempt).expect("BUG: an attempt is selected first");
        self.open.remove(at).1
    }

    fn decline(&mut self, attempt: u64, reason: &Declined) {
        let Selection { proposer, operator, parent, .. } = self.close_attempt(attempt);
        if proposer == Proposer::Prune {
            return self.pruning.declined(parent, *reason == Declined::NothingNew);
        }
        self.declined_in_a_row += 1;
        self.credit.declined(proposer, operator);
    }

    fn add(&mut self, created: &CandidateCreated) {
        let selection = self.close_attempt(created.attempt);
        match selection.cut {
            Some(_) => self.pruning.made_one(),
            None => self.declined_in_a_row = 0,
        }
        self.credit.made(selection.proposer, selection.operator, created.operator);
        if let Proposer::Corpus(place) = selection.proposer {
            self.corpus[place] = Some(created.candidate);
        }
        self.by_program.insert(created.program, created.candidate);
        self.by_normalised.insert(created.normalised, created.candidate);
        self.waiting.insert(created.candidate);
        let repairs = selection.repairs.map_or(0, |rejected| self.known(rejected).repairs + 1);
        self.candidates.push(Candidate {
            name: created.name.clone(),
            proposer: Some(selection.proposer),
            parents: created.parents.clone(),
            island: selection.island,
            commit: created.commit,
            program: created.program,
            size: created.size,
            operator: created.operator,
            cut: selection.cut,
            outclassed_below: selection.outclassed_below,
            verdict: None,
            ruling: None,
            times_chosen: 0,
            kind: selection.kind,
            repairs,
        });
    }

    fn judge(&mut self, candidate: CandidateId, evaluation: &Evaluation) {
        self.waiting.remove(&candidate);
        let (verdict, success) = match evaluation {
            Evaluation::Measured { measurement } => {
                self.tally.measured += 1;
                let scores = self.scores(measurement).expect("BUG: the baseline is measured first");
                let success = self.settle(Member::new(candidate, &scores), measurement);
                (Verdict::Measured(Box::new(scores)), success)
            }
            Evaluation::Outclassed { .. } => {
                self.tally.outclassed += 1;
                (Verdict::Outclassed, Reward::Nothing)
            }
            Evaluation::Rejected { .. } => {
                self.tally.rejected += 1;
                (Verdict::Rejected, Reward::Nothing)
            }
        };
        self.give_account(candidate, &verdict, success, evaluation);
        let Candidate { proposer, repairs, .. } = *self.known(candidate);
        if verdict == Verdict::Rejected && matches!(proposer, Some(Proposer::Model(_))) {
            self.models.reject(candidate, repairs);
        }
        self.candidates[candidate.index()].verdict = Some(verdict);
        self.pass_time(candidate);
    }

    /// Gives a candidate its places; what it was the best at.
    fn settle(&mut self, member: Member, measurement: &Measurement) -> Reward {
        let candidate = member.candidate;
        let contends = self.compare_with_best(candidate, member.score, measurement);
        let on_front = self.archive.admit(member);
        let admitted = if candidate == CandidateId::SEED {
            self.islands.found(member);
            true
        } else {
            self.islands.admit(self.candidates[candidate.index()].island, member)
        };
        match (contends, on_front, admitted) {
            (true, ..) => Reward::Contender,
            (_, true, _) => Reward::Front,
            (_, _, true) => Reward::Admitted,
            _ => Reward::Nothing,
        }
    }

    fn give_account(&mut self, candidate: CandidateId, verdict: &Verdict, success: Reward, evaluation: &Evaluation) {
        let Candidate { proposer: Some(proposer), operator, .. } = *self.known(candidate) else { return };
        let seconds = evaluation.measurement().map_or(0.0, |measurement| measurement.evaluation_seconds);
        let (rejected, outclassed) = (*verdict == Verdict::Rejected, *verdict == Verdict::Outclassed);
        let outcome = Outcome { rejected, outclassed, success, seconds };
        match proposer {
            Proposer::Prune => self.pruning.judged(outcome),
            _ => self.credit.ended(proposer, operator, outcome),
        }
    }

    /// An island that has not got better for long starts anew from somebody else of the front.
    fn pass_time(&mut self, candidate: CandidateId) {
        // Pruning is no try to get better.
        if candidate == CandidateId::SEED || self.known(candidate).cut.is_some() {
            return;
        }
        let island = self.candidates[candidate.index()].island;
        self.islands.pass(island);
        if !self.islands.is_stale(island) {
            return;
        }
        let judged = (self.tally.measured + self.tally.outclassed + self.tally.rejected) as u64;
        let mut rng = stream(self.started.settings.rng_seed, judged, Purpose::Restart);
        let front: Vec<Member> = self.archive.front().copied().collect();
        if let Some(founder) = crate::search::select::anyone(&front, &mut rng) {
            self.islands.restart(island, founder);
        }
    }

    /// A candidate that was measured becomes the best, or has to show it on held-out windows first, or neither; whether
    /// it looks better than the best.
    fn compare_with_best(&mut self, candidate: CandidateId, score: f64, measurement: &Measurement) -> bool {
        let interval = self.interval_against(measurement, self.baseline.as_ref());
        let keeps_up = self.keeps_up(candidate, score, interval);
        let best = self.to_beat(|best| best.score);
        // The baseline needs no confirmation: what it is worth is 0 on any windows.
        let is_baseline = candidate == CandidateId::SEED && self.baseline_is_seed();
        if self.holds_out() && !is_baseline {
            let contender = Contender { candidate, score, interval, measurement: measurement.clone() };
            let contends = keeps_up || contender.exceeds(best);
            self.contenders.extend(contends.then_some(contender));
            return contends;
        }
        // Of equal scores the oldest is the best; but what was pruned does not come back by its age.
        let is_older = |best: &Best| candidate < best.candidate && self.known(candidate).cut.is_none();
        let is_better = |best: &Best| score > best.score || score == best.score && is_older(best);
        let is_best = keeps_up || best.is_none_or(is_better);
        if is_best {
            self.crown(Best { candidate, score, interval, held_out: None });
        }
        is_best
    }

    /// Half the width of the interval of a measurement's score; 0 before the baseline was measured.
    fn interval_against(&self, measurement: &Measurement, baseline: Option<&Measurement>) -> f64 {
        let weights = self.started.settings.evaluation.weights;
        baseline.map_or(0.0, |baseline| score_interval(measurement, baseline, weights))
    }

    /// The places of other cuts from the parent of a cut of which it is not known yet what came. They are tried again on
    /// what is the best now.
    fn siblings_under_way(&self, cut: CandidateId) -> impl Iterator<Item = u64> {
        let parents = &self.known(cut).parents;
        let contending = self.contenders.iter().map(|contender| contender.candidate);
        let under_way = self.waiting.iter().copied().chain(contending).map(|other| self.known(other));
        under_way.filter(move |other| other.parents == *parents).filter_map(|other| other.cut)
    }

    fn crown(&mut self, best: Best) {
        let cut = self.known(best.candidate).cut.filter(|_| self.is_cut_from_best(best.candidate));
        let cut = cut.map(|place| self.siblings_under_way(best.candidate).fold(place, u64::min));
        self.pruning.new_best(best.candidate, cut, self.attempts);
        self.best = Some(best);
    }

    fn holds_out(&self) -> bool {
        self.started.settings.evaluation.held_out > 0
    }

    /// Contenders that still look better than the best, those that look best first; none before they can be judged.
    fn standing_contenders(&self) -> Vec<CandidateId> {
        let best = self.to_beat(|best| best.score);
        let standing = |contender: &&Contender| {
            let Contender { candidate, score, interval, .. } = **contender;
            contender.exceeds(best) || self.keeps_up(candidate, score, interval)
        };
        let can_be_judged = self.baseline_held_out.is_some();
        let mut standing: Vec<_> = self.contenders.iter().filter(standing).filter(|_| can_be_judged).collect();
        standing.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.candidate.cmp(&b.candidate)));
        standing.into_iter().map(|contender| contender.candidate).collect()
    }

    fn no_contender_any_more(&mut self, candidate: CandidateId) -> Contender {
        let at = self.contenders.iter().position(|contender| contender.candidate == candidate);
        self.contenders.swap_remove(at.expect("BUG: a contender is ruled on"))
    }

    fn confirm(&mut self, candidate: CandidateId, measurement: &Measurement) {
        let Contender { score, interval, .. } = self.no_contender_any_more(candidate);
        let held_out = self.held_out(measurement);
        self.candidates[candidate.index()].ruling =
            Some(Ruling { confirmed: true, scores: Some(Box::new(held_out.scores.clone())) });
        self.crown(Best { candidate, score, interval, held_out: Some(held_out) });
    }

    /// What was seen on both sides together is what a refuted candidate is worth from here on.
    fn refute(&mut self, candidate: CandidateId, evaluation: &Evaluation) {
        let contender = self.no_contender_any_more(candidate);
        self.archive.remove(candidate);
        let homes = self.islands.remove(candidate);
        let held_out = evaluation.measured();
        let scores = held_out.and_then(|held_out| self.held_out_scores(held_out)).map(Box::new);
        let verdict = held_out.map_or(Verdict::Rejected, |held_out| {
            let pooled = self.pooled_scores(&contender.measurement.pooled(held_out));
            let member = Member::new(candidate, &pooled);
            self.archive.admit(member);
            for island in homes {
                self.islands.admit(island, member);
            }
            Verdict::Measured(Box::new(pooled))
        });
        if verdict == Verdict::Rejected {
            self.tally.measured -= 1;
            self.tally.rejected += 1;
        }
        let known = &mut self.candidates[candidate.index()];
        known.ruling = Some(Ruling { confirmed: false, scores });
        known.verdict = Some(verdict);
    }

    /// Scores of what was measured on both sides together.
    ///
    /// # Panics
    /// Before the baseline was.
    pub fn pooled_scores(&self, measurement: &Measurement) -> Scores {
        let known = self.baseline.as_ref().zip(self.baseline_held_out.as_ref());
        let (seen, held_out) = known.expect("BUG: the baseline is measured first");
        self.scores_against(measurement, &seen.pooled(held_out))
    }
}

/// The proposers that take part, in a fixed order; the corpus comes before all of them and is none.
fn proposers(settings: &Settings) -> impl Iterator<Item = Proposer> {
    let Parts { compose, cross, mutate } = settings.search.proposers;
    let taking_part = [(compose, Proposer::Compose), (mutate, Proposer::Mutate), (cross, Proposer::Cross)];
    let offline = taking_part.into_iter().filter(|(takes_part, _)| *takes_part).map(|(_, proposer)| proposer);
    offline.chain((0..settings.llm.models.len()).map(Proposer::Model))
}

/// How many other candidates a proposer needs, and how many it is shown.
fn inspirations(proposer: Proposer) -> (usize, usize) {
    match proposer {
        Proposer::Cross => (1, 1),
        Proposer::Model(_) => (0, MOST_INSPIRATIONS),
        Proposer::Corpus(_) | Proposer::Mutate | Proposer::Compose | Proposer::Prune => (0, 0),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
