//! Search: decides what to try next, from nothing but the events so far.
//!
//! No IO, clock, thread or global generator; it cannot fail. State changes only through [`Search::apply`], which a live
//! run, `resume` and `replay` call alike; [`Search::next`] is a pure function of that state.

pub mod population;
mod select;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::collections::HashMap;

use packevolve_contract::case;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Scores, scores};
use packevolve_contract::stream::{Purpose, stream};

use crate::candidate::{BlobId, CandidateId, CommitId};
use crate::event::{CandidateCreated, Declined, Event, Proposer, RunStarted, Selection, StopReason};
use crate::search::population::{Member, Population};

/// After so many attempts in a row that made no candidate, nothing new is to be expected.
const EXHAUSTED_AFTER: u64 = 100;

/// What is known of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// NAME of the proposal that made it; `seed` for the seed program.
    pub name: String,
    /// Where its proposal came from; `None` for the seed program.
    pub proposer: Option<Proposer>,
    /// What it is an edit of.
    pub parents: Vec<CandidateId>,
    /// Its commit.
    pub commit: CommitId,
    /// Its program.
    pub program: BlobId,
    /// Below which score its evaluation may stop.
    pub outclassed_below: Option<f64>,
    /// How its evaluation ended, once it has.
    pub verdict: Option<Verdict>,
    /// How often it was chosen as a parent.
    pub times_chosen: u64,
}

/// How an evaluation ended, and the scores if it was measured in full.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Measured in full.
    Measured(Box<Scores>),
    /// Stopped early.
    Outclassed,
    /// It has no score.
    Rejected,
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
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    started: RunStarted,
    /// Names of the cases of the unit.
    unit: Vec<String>,
    candidate_limit: u64,
    baseline: Option<Measurement>,
    candidates: Vec<Known>,
    by_program: HashMap<BlobId, CandidateId>,
    /// By place in the corpus.
    corpus: Vec<Option<CandidateId>>,
    attempts: u64,
    /// Selections whose attempt has not made a candidate or been declined yet.
    open: Vec<(u64, Selection)>,
    declined_in_a_row: u64,
    population: Population,
    stopped: Option<StopReason>,
}

impl Search {
    /// The state right after the first event of a run.
    pub fn new(started: RunStarted) -> Self {
        let seed = Known {
            name: "seed".to_owned(),
            proposer: None,
            parents: Vec::new(),
            commit: started.commit,
            program: started.program,
            outclassed_below: None,
            verdict: None,
            times_chosen: 0,
        };
        let settings = &started.settings;
        Self {
            unit: case::unit(&settings.evaluation.topology).iter().map(ToString::to_string).collect(),
            candidate_limit: settings.search.candidates,
            baseline: None,
            by_program: HashMap::from([(started.program, CandidateId::SEED)]),
            candidates: vec![seed],
            corpus: vec![None; started.corpus.len()],
            attempts: 0,
            open: Vec::new(),
            declined_in_a_row: 0,
            population: Population::new(settings.search.population),
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
            Event::Selected { .. } | Event::CandidateEvaluated { .. } if self.baseline.is_none() => {
                Err("there is no baseline yet".to_owned())
            }
            Event::Selected { attempt, selection } => self.check_selected(*attempt, selection),
            Event::ProposalDeclined { attempt, reason, .. } => self.check_declined(*attempt, reason),
            Event::CandidateCreated(created) => self.check_created(created),
            Event::CandidateEvaluated { candidate, evaluation } => self.check_evaluated(*candidate, evaluation),
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
            Proposer::Corpus(_) | Proposer::Mutate => {}
        }
        self.existing(selection.parent).map(drop)
    }

    fn check_declined(&self, attempt: u64, reason: &Declined) -> Result<(), String> {
        self.opened(attempt)?;
        match reason {
            Declined::Duplicate { of } => self.existing(*of).map(drop),
            Declined::Unreadable { .. } | Declined::DoesNotApply { .. } | Declined::NothingNew => Ok(()),
        }
    }

    fn check_created(&self, created: &CandidateCreated) -> Result<(), String> {
        let selection = self.opened(created.attempt)?;
        if created.candidate.index() != self.candidates.len() {
            return Err(format!("candidate {}, but {} is the next", created.candidate, self.candidates.len()));
        }
        created.parents.iter().try_for_each(|parent| self.existing(*parent).map(drop))?;
        if !created.parents.contains(&selection.parent) {
            return Err(format!("candidate {} is no edit of {}", created.candidate, selection.parent));
        }
        match self.seen(&created.program) {
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

    fn existing(&self, id: CandidateId) -> Result<&Known, String> {
        self.candidate(id).ok_or_else(|| format!("there is no candidate {id}"))
    }

    /// What an attempt is to try that has no outcome yet.
    fn opened(&self, attempt: u64) -> Result<&Selection, String> {
        let open = self.open.iter().find(|(open, _)| *open == attempt);
        open.map(|(_, selection)| selection).ok_or_else(|| format!("attempt {attempt} is not open"))
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
            Event::Selected { attempt, selection } => self.open_attempt(*attempt, selection),
            Event::ProposalDeclined { attempt, .. } => {
                self.close_attempt(*attempt);
                self.declined_in_a_row += 1;
            }
            Event::CandidateCreated(created) => self.add(created),
            Event::CandidateEvaluated { candidate, evaluation } => self.judge(*candidate, evaluation),
            Event::RunStopped { reason } => self.stopped = Some(*reason),
            Event::RunResumed { candidates } => {
                self.stopped = None;
                self.candidate_limit = *candidates;
            }
        }
    }

    /// What to do next. Decided from the state alone: asking twice gives the same answer.
    pub fn next(&self) -> Next {
        if self.baseline.is_none() {
            return Next::Wait;
        }
        if self.candidates.len() as u64 >= self.candidate_limit {
            return self.stop_or_wait(StopReason::Candidates);
        }
        if self.declined_in_a_row >= EXHAUSTED_AFTER {
            return self.stop_or_wait(StopReason::Exhausted);
        }
        let attempt = self.attempts;
        match self.next_of_corpus().or_else(|| self.mutation(attempt)) {
            Some(selection) => Next::Attempt { attempt, selection },
            None => self.stop_or_wait(StopReason::Exhausted),
        }
    }

    /// What the run started from.
    pub fn started(&self) -> &RunStarted {
        &self.started
    }

    /// Measurement of the baseline program, once there is one.
    pub fn baseline(&self) -> Option<&Measurement> {
        self.baseline.as_ref()
    }

    /// Whether the baseline program is the seed program, so that one evaluation serves both.
    pub fn baseline_is_seed(&self) -> bool {
        self.started.baseline == self.started.program
    }

    /// Scores of a measurement in this run; `None` before the baseline was measured.
    pub fn scores(&self, measurement: &Measurement) -> Option<Scores> {
        let weights = self.started.settings.evaluation.weights;
        self.baseline.as_ref().map(|baseline| scores(measurement, baseline, weights, &self.unit))
    }

    /// All candidates with their numbers.
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = (CandidateId, &Known)> {
        self.candidates.iter().enumerate().map(|(number, known)| (CandidateId(number as u64), known))
    }

    /// One candidate.
    pub fn candidate(&self, id: CandidateId) -> Option<&Known> {
        self.candidates.get(id.index())
    }

    /// The candidate with this program, if it was seen before.
    pub fn seen(&self, program: &BlobId) -> Option<CandidateId> {
        self.by_program.get(program).copied()
    }

    /// The candidates that the population holds, best first.
    pub fn members(&self) -> &[Member] {
        self.population.members()
    }

    /// The candidate with the highest `combined_score`; of equal ones the oldest.
    pub fn best(&self) -> Option<Member> {
        self.population.members().first().copied()
    }

    /// Candidates that wait for their evaluation.
    pub fn unevaluated(&self) -> impl Iterator<Item = CandidateId> {
        self.candidates().filter(|(_, known)| known.verdict.is_none()).map(|(id, _)| id)
    }

    /// Selections without an outcome yet: what a crash left between a decision and what came of it.
    pub fn open_attempts(&self) -> &[(u64, Selection)] {
        &self.open
    }

    /// How many candidates the run is to make.
    pub fn candidate_limit(&self) -> u64 {
        self.candidate_limit
    }

    /// Why the run stopped, if it has.
    pub fn stopped(&self) -> Option<StopReason> {
        self.stopped
    }

    fn stop_or_wait(&self, reason: StopReason) -> Next {
        let settled = self.open.is_empty() && self.unevaluated().next().is_none();
        if settled { Next::Stop(reason) } else { Next::Wait }
    }

    /// The first document of the corpus that was not tried yet. If its parent's document made no program, it is tried
    /// on the seed program, so that its near misses are told.
    fn next_of_corpus(&self) -> Option<Selection> {
        let place = usize::try_from(self.attempts).ok().filter(|place| *place < self.corpus.len())?;
        let parent = self.started.corpus[place].parent.and_then(|parent| *self.corpus.get(parent)?);
        Some(Selection {
            proposer: Proposer::Corpus(place),
            parent: parent.unwrap_or(CandidateId::SEED),
            outclassed_below: None,
        })
    }

    fn mutation(&self, attempt: u64) -> Option<Selection> {
        if !self.started.settings.search.mutate {
            return None;
        }
        let mut rng = stream(self.started.settings.rng_seed, attempt, Purpose::Selection);
        let times_chosen = |id: CandidateId| self.candidates[id.index()].times_chosen;
        let parent = select::parent(self.population.members(), times_chosen, &mut rng)?;
        Some(Selection { proposer: Proposer::Mutate, parent, outclassed_below: self.population.admission_score() })
    }

    fn know_baseline(&mut self, measurement: &Measurement) {
        self.baseline = Some(measurement.clone());
        if self.baseline_is_seed() {
            self.judge(CandidateId::SEED, &Evaluation::Measured { measurement: measurement.clone() });
        }
    }

    fn open_attempt(&mut self, attempt: u64, selection: &Selection) {
        self.attempts += 1;
        self.candidates[selection.parent.index()].times_chosen += 1;
        self.open.push((attempt, selection.clone()));
    }

    fn close_attempt(&mut self, attempt: u64) -> Selection {
        let at = self.open.iter().position(|(open, _)| *open == attempt).expect("BUG: an attempt is selected first");
        self.open.remove(at).1
    }

    fn add(&mut self, created: &CandidateCreated) {
        let selection = self.close_attempt(created.attempt);
        self.declined_in_a_row = 0;
        if let Proposer::Corpus(place) = selection.proposer {
            self.corpus[place] = Some(created.candidate);
        }
        self.by_program.insert(created.program, created.candidate);
        self.candidates.push(Known {
            name: created.name.clone(),
            proposer: Some(selection.proposer),
            parents: created.parents.clone(),
            commit: created.commit,
            program: created.program,
            outclassed_below: selection.outclassed_below,
            verdict: None,
            times_chosen: 0,
        });
    }

    fn judge(&mut self, candidate: CandidateId, evaluation: &Evaluation) {
        let verdict = match evaluation {
            Evaluation::Measured { measurement } => {
                let scores = self.scores(measurement).expect("BUG: the baseline is measured first");
                self.population.admit(Member::new(candidate, &scores));
                Verdict::Measured(Box::new(scores))
            }
            Evaluation::Outclassed { .. } => Verdict::Outclassed,
            Evaluation::Rejected { .. } => Verdict::Rejected,
        };
        self.candidates[candidate.index()].verdict = Some(verdict);
    }
}
