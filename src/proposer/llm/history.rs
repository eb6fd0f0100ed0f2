//! The history of a run for prompts, folded from its events and bounded: figures of programs that a prompt may show,
//! the latest failures, and requests whose candidates may go back. Pure; holds no texts. Stays empty without language
//! models.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::objective::Scores;

use crate::proposer::llm::context::{Figures, diagnosis};
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::{Asking, CandidateCreated, Declined, Event, ExchangeRef, ModelAsked, Proposer, Selection};
use crate::values::raw_text::RawText;

/// Remembered failures, and candidates for the next summary.
const MOST_FAILURES: usize = 40;
const MOST_STEPS: usize = 60;
/// Outdated entries before a cleanup.
const SLACK: usize = 64;

/// Where to find the proposal of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the journal, as that of this candidate.
    Candidate(CandidateId),
    /// Here: it made no candidate.
    Document(RawText),
    /// There was no proposal.
    Nowhere,
}

/// A failed proposal of a model or of the corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub source: Source,
    pub parent: CandidateId,
    /// The outcome as text.
    pub evidence: String,
}

/// A candidate of a model that is unjudged or rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub exchange: Option<ExchangeRef>,
    /// The reason for its rejection.
    pub diagnosis: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptHistory {
    baseline: Option<(Scores, Figures)>,
    /// Of candidates that a prompt may still show.
    pub(crate) figures: BTreeMap<CandidateId, Figures>,
    open: BTreeMap<u64, (Selection, Option<ExchangeRef>)>,
    /// Candidates of models that may go back to them.
    pub(crate) made: BTreeMap<CandidateId, Made>,
    /// The latest, oldest first.
    pub(crate) failures: VecDeque<Failure>,
    /// The number of latest failures that no summary covers.
    fresh_failures: usize,
    /// Measured candidates of models that no summary covers, oldest first.
    pub(crate) steps: VecDeque<CandidateId>,
    /// Candidates of models since the latest request for a summary.
    pub(crate) since_summary: u64,
    /// The number of requested summaries.
    pub(crate) summaries: usize,
    pub(crate) summary: Option<ExchangeRef>,
}

impl PromptHistory {
    /// Applies an event; `search` is the state after it, or a later one of the same run.
    pub fn apply(&mut self, event: &Event, search: &Search) {
        if search.models().count() == 0 {
            return;
        }
        match event {
            Event::Selected { attempt, selection } if shows_failures_of(selection.proposer) => {
                self.open.insert(*attempt, (selection.clone(), None));
            }
            Event::ModelAsked(asked) => self.asked(asked),
            Event::CandidateCreated(created) => self.created(created),
            Event::ProposalDeclined { attempt, proposal, reason } => self.declined(*attempt, proposal.as_ref(), reason),
            Event::BaselineEvaluated { measurement, .. } => self.know_baseline(measurement, search),
            Event::CandidateEvaluated { candidate, evaluation, partial: true, .. } => {
                // What fails, fails again in full.
                evaluation.measured().into_iter().for_each(|measured| self.measured(*candidate, measured, search));
            }
            Event::CandidateEvaluated { candidate, evaluation, .. } => self.judged(*candidate, evaluation, search),
            Event::DuelEnded { contender, duel, .. } if duel.contender.rejection().is_some() => {
                self.figures.remove(contender);
            }
            _ => {}
        }
        self.forget(search);
    }

    pub fn baseline(&self) -> Option<&Figures> {
        self.baseline.as_ref().map(|(_, figures)| figures)
    }

    /// The failures that no summary covers.
    pub fn fresh_failures(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter().skip(self.failures.len() - self.fresh_failures)
    }

    fn asked(&mut self, asked: &ModelAsked) {
        let answer = asked.error.is_none().then_some(asked.exchange);
        match asked.asking {
            Asking::Proposal(attempt) => {
                self.open.entry(attempt).and_modify(|(_, last)| *last = answer.or(*last));
            }
            Asking::Summary => {
                self.summary = answer.or(self.summary);
                self.summaries += 1;
                (self.since_summary, self.fresh_failures) = (0, 0);
                self.steps.clear();
            }
        }
    }

    fn close(&mut self, attempt: u64) -> Option<(Selection, Option<ExchangeRef>)> {
        let closed = self.open.remove(&attempt)?;
        closed.0.repairs.into_iter().for_each(|rejected| drop(self.made.remove(&rejected)));
        Some(closed)
    }

    fn created(&mut self, created: &CandidateCreated) {
        let Some((selection, exchange)) = self.close(created.attempt) else { return };
        if matches!(selection.proposer, Proposer::Model(_)) {
            self.made.insert(created.candidate, Made { exchange, diagnosis: None });
            self.since_summary += 1;
        }
    }

    fn declined(&mut self, attempt: u64, proposal: Option<&RawText>, reason: &Declined) {
        let Some((selection, _)) = self.close(attempt) else { return };
        // A model cannot learn from failures of an endpoint.
        if !matches!(reason, Declined::Unanswered { .. }) {
            let source = proposal.cloned().map_or(Source::Nowhere, Source::Document);
            self.fail(source, selection.parent, reason.to_string());
        }
    }

    fn fail(&mut self, source: Source, parent: CandidateId, evidence: String) {
        self.failures.push_back(Failure { source, parent, evidence });
        self.failures.drain(..self.failures.len().saturating_sub(MOST_FAILURES));
        self.fresh_failures = (self.fresh_failures + 1).min(self.failures.len());
    }

    fn know_baseline(&mut self, measurement: &Measurement, search: &Search) {
        let Some(scores) = search.scores(measurement) else { return };
        let figures = Figures::new(&search.origin().cases, &scores, measurement, Some(&scores));
        if search.baseline_is_seed() {
            self.figures.insert(CandidateId::SEED, figures.clone());
        }
        self.baseline = Some((scores, figures));
    }

    fn judged(&mut self, candidate: CandidateId, evaluation: &Evaluation, search: &Search) {
        let Some(known) = search.candidate(candidate) else { return };
        let parent = known.parents.first().copied().unwrap_or(CandidateId::SEED);
        let is_shown = known.proposer.is_some_and(shows_failures_of);
        match evaluation {
            Evaluation::Measured { measurement } => self.measured(candidate, measurement, search),
            Evaluation::Inconsistent { inconsistencies, measurement } => {
                if known.scores().is_some() {
                    self.measured(candidate, measurement, search);
                }
                if is_shown {
                    self.fail(Source::Candidate(candidate), parent, inconsistencies_text(inconsistencies));
                }
            }
            Evaluation::Outclassed { at_best, .. } if is_shown => {
                let evidence = format!("could have scored at most {at_best}, which would not enter the population");
                self.fail(Source::Candidate(candidate), parent, evidence);
            }
            Evaluation::Rejected { rejection, evidence } if is_shown => {
                let text = diagnosis(rejection, evidence);
                self.made.entry(candidate).and_modify(|made| made.diagnosis = Some(text.clone()));
                self.fail(Source::Candidate(candidate), parent, text);
            }
            Evaluation::Outclassed { .. } | Evaluation::Rejected { .. } => {}
        }
        if evaluation.rejection().is_none() {
            self.made.remove(&candidate);
        }
    }

    fn measured(&mut self, candidate: CandidateId, measurement: &Measurement, search: &Search) {
        let device = search.candidate(candidate).and_then(|known| known.device);
        let Some(scores) = search.scores(&search.compared(device, measurement)) else { return };
        let baseline = self.baseline.as_ref().map(|(scores, _)| scores);
        self.figures.insert(candidate, Figures::new(&search.origin().cases, &scores, measurement, baseline));
        if search.candidate(candidate).is_some_and(|known| matches!(known.proposer, Some(Proposer::Model(_)))) {
            self.steps.push_back(candidate);
            self.steps.drain(..self.steps.len().saturating_sub(MOST_STEPS));
        }
    }

    /// Drops outdated entries once there are many.
    fn forget(&mut self, search: &Search) {
        let islands = (0..search.islands().count()).flat_map(|island| search.islands().members(island));
        if self.figures.len() > SLACK + 2 * islands.clone().count() {
            let archive = search.elites().members();
            let shown = islands.chain(&archive).map(|member| member.candidate);
            let asked = self.open.values().flat_map(|(selection, _)| {
                std::iter::once(selection.parent).chain(selection.inspirations.iter().copied())
            });
            let best = search.best().map(|best| best.candidate);
            let needed: BTreeSet<CandidateId> = shown.chain(asked).chain(best).collect();
            self.figures.retain(|candidate, _| needed.contains(candidate));
        }
        if self.made.len() > SLACK {
            let asked: BTreeSet<_> = self.open.values().filter_map(|(selection, _)| selection.repairs).collect();
            let waits = |candidate: &CandidateId| {
                let is_judged = search.candidate(*candidate).is_some_and(|known| known.outcome.is_some());
                !is_judged || search.models().rejected().contains(candidate)
            };
            self.made.retain(|candidate, _| asked.contains(candidate) || waits(candidate));
        }
    }
}

fn inconsistencies_text(inconsistencies: &[Inconsistency]) -> String {
    let each: Vec<String> = inconsistencies.iter().map(ToString::to_string).collect();
    format!("its answers are inconsistent: {}", each.join("; "))
}

/// Whether prompts show failures of this proposer: only of proposals that a person or a model wrote.
fn shows_failures_of(proposer: Proposer) -> bool {
    matches!(proposer, Proposer::Model(_) | Proposer::Corpus(_) | Proposer::Person(_))
}
