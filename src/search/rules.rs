//! Rules: which event can follow which state, and the one place where events change it.

use packevolve_contract::evaluation::Evaluation;
use thiserror::Error;

use crate::search::best::Contender;
use crate::search::candidate::Candidate;
use crate::search::state::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::{Asking, CandidateCreated, Declined, Event, ModelAsked, Proposer, Selection};
use crate::values::operator::Operator;

/// Why an event cannot follow the events before it. No run writes such an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("the run has stopped and was not resumed")]
    Stopped,
    #[error("a run starts once")]
    StartsAgain,
    #[error("there is no baseline yet")]
    NoBaseline,
    #[error("the baseline is known")]
    BaselineKnown,
    #[error("no windows are held out")]
    NothingHeldOut,
    #[error("the baseline is not known on the held-out windows")]
    NoBaselineHeldOut,
    #[error("the baseline is known on the held-out windows")]
    BaselineHeldOutKnown,
    #[error("attempt {attempt}, but {next} is the next")]
    AttemptOutOfOrder { attempt: u64, next: u64 },
    #[error("attempt {0} is not open")]
    AttemptNotOpen(u64),
    #[error("attempt {attempt} is not that of language model {model}")]
    AttemptOfAnother { attempt: u64, model: usize },
    #[error("the corpus has {count} documents, none at place {place}")]
    NoDocument { place: usize, count: usize },
    #[error("the document at place {0} of the corpus made a candidate before")]
    DocumentUsed(usize),
    #[error("there are {count} language models, none at place {model}")]
    NoModel { model: usize, count: usize },
    #[error("language model {0} is not in use")]
    ModelNotReady(usize),
    #[error("language model {0} is not paused")]
    ModelNotPaused(usize),
    #[error("{proposer} has no operator {operator}")]
    NoOperator { proposer: Proposer, operator: Operator },
    #[error("a selection has a cut if and only if its proposer is prune")]
    Cut,
    #[error("candidate {0} is not the best, and only the best is pruned")]
    NotTheBest(CandidateId),
    #[error("a selection has a form if and only if its proposer is a language model")]
    Form,
    #[error("candidate {0} does not go back to a language model")]
    NoRepair(CandidateId),
    #[error("there is no island {0}")]
    NoIsland(usize),
    #[error("there is no candidate {0}")]
    NoCandidate(CandidateId),
    #[error("candidate {candidate}, but {next} is the next")]
    CandidateOutOfOrder { candidate: CandidateId, next: usize },
    #[error("candidate {0} has other parents than its selection")]
    OtherParents(CandidateId),
    #[error("candidate {candidate} is the same program as candidate {of}")]
    Duplicate { candidate: CandidateId, of: CandidateId },
    #[error("candidate {0} was evaluated before")]
    EvaluatedBefore(CandidateId),
    #[error("the evaluation of candidate {0} must not stop early")]
    StoppedEarly(CandidateId),
    #[error("candidate {0} is not a contender")]
    NotAContender(CandidateId),
    #[error("this measurement confirms candidate {0}")]
    Confirmed(CandidateId),
    #[error("this measurement refutes candidate {0}")]
    Refuted(CandidateId),
}

impl Search {
    /// Checks that an event can follow this state, and takes it in.
    ///
    /// # Errors
    /// An event that no run writes here; the state is as before.
    pub fn apply(&mut self, event: &Event) -> Result<(), Refusal> {
        if self.stopped.is_some() && !matches!(event, Event::RunResumed { .. }) {
            return Err(Refusal::Stopped);
        }
        match event {
            Event::RunStarted(_) => return Err(Refusal::StartsAgain),
            Event::BaselineEvaluated { measurement } => {
                refuse_if(self.baseline.is_some(), Refusal::BaselineKnown)?;
                self.know_baseline(measurement);
            }
            Event::BaselineHeldOut { measurement } => {
                refuse_if(!self.holds_out(), Refusal::NothingHeldOut)?;
                refuse_if(self.baseline_held_out.is_some(), Refusal::BaselineHeldOutKnown)?;
                self.know_held_out_baseline(measurement);
            }
            Event::Selected { attempt, selection } => {
                self.check_selected(*attempt, selection)?;
                self.open_attempt(*attempt, selection);
            }
            Event::ModelAsked(asked) => {
                self.check_asked(asked)?;
                self.models.spend(asked.charge);
                self.credit.charged(Proposer::Model(asked.model), asked.charge);
            }
            Event::ModelPaused { model, error } => {
                refuse_if(!self.models.is_ready(*model), Refusal::ModelNotReady(*model))?;
                self.models.pause(*model, error);
            }
            Event::ModelResumed { model } => {
                refuse_if(!self.models.is_paused(*model), Refusal::ModelNotPaused(*model))?;
                self.models.resume(*model);
            }
            Event::ProposalDeclined { attempt, reason, .. } => {
                self.check_declined(*attempt, reason)?;
                self.decline(*attempt, reason);
            }
            Event::CandidateCreated(created) => {
                self.check_created(created)?;
                self.add(created);
            }
            Event::CandidateEvaluated { candidate, evaluation } => {
                self.check_evaluated(*candidate, evaluation)?;
                self.admit(*candidate, evaluation);
            }
            Event::Confirmed { candidate, measurement } => {
                self.contender(*candidate)?;
                refuse_if(!self.is_confirmed_by(*candidate, measurement)?, Refusal::Refuted(*candidate))?;
                self.confirm(*candidate, measurement);
            }
            Event::Refuted { candidate, evaluation } => {
                self.check_refuted(*candidate, evaluation)?;
                self.refute(*candidate, evaluation);
            }
            Event::RunStopped { reason } => self.stopped = Some(*reason),
            Event::RunResumed { candidates } => {
                self.stopped = None;
                self.candidate_limit = *candidates;
                self.models.resume_all();
            }
        }
        Ok(())
    }

    fn check_selected(&self, attempt: u64, selection: &Selection) -> Result<(), Refusal> {
        refuse_if(self.baseline.is_none(), Refusal::NoBaseline)?;
        let next = self.attempts;
        refuse_if(attempt != next, Refusal::AttemptOutOfOrder { attempt, next })?;
        match selection.proposer {
            Proposer::Corpus(place) => {
                let count = self.corpus.len();
                let document = self.corpus.get(place).ok_or(Refusal::NoDocument { place, count })?;
                refuse_if(document.is_some(), Refusal::DocumentUsed(place))?;
            }
            Proposer::Model(model) => self.check_model(model)?,
            _ => {}
        }
        check_operator(selection.proposer, selection.operator)?;
        refuse_if((selection.proposer == Proposer::Prune) != selection.cut.is_some(), Refusal::Cut)?;
        let is_best = self.best.as_ref().is_some_and(|best| best.candidate == selection.parent);
        refuse_if(selection.cut.is_some() && !is_best, Refusal::NotTheBest(selection.parent))?;
        refuse_if(matches!(selection.proposer, Proposer::Model(_)) != selection.form.is_some(), Refusal::Form)?;
        if let Some(candidate) = selection.repairs {
            refuse_if(!self.models.rejected().contains(&candidate), Refusal::NoRepair(candidate))?;
        }
        refuse_if(selection.island >= self.islands.count(), Refusal::NoIsland(selection.island))?;
        selection.parents().try_for_each(|parent| self.existing(parent).map(drop))?;
        selection.inspirations.iter().try_for_each(|other| self.existing(*other).map(drop))
    }

    fn check_asked(&self, asked: &ModelAsked) -> Result<(), Refusal> {
        let model = asked.model;
        self.check_model(model)?;
        match asked.asking {
            Asking::Proposal(attempt) if self.opened(attempt)?.proposer != Proposer::Model(model) => {
                Err(Refusal::AttemptOfAnother { attempt, model })
            }
            Asking::Proposal(_) | Asking::Summary => Ok(()),
        }
    }

    fn check_model(&self, model: usize) -> Result<(), Refusal> {
        let count = self.models.count();
        refuse_if(model >= count, Refusal::NoModel { model, count })
    }

    fn check_declined(&self, attempt: u64, reason: &Declined) -> Result<(), Refusal> {
        self.opened(attempt)?;
        match reason {
            Declined::Duplicate { of } | Declined::NotNovel { of } => self.existing(*of).map(drop),
            _ => Ok(()),
        }
    }

    fn check_created(&self, created: &CandidateCreated) -> Result<(), Refusal> {
        let selection = self.opened(created.attempt)?;
        let (candidate, next) = (created.candidate, self.candidates.len());
        refuse_if(candidate.index() != next, Refusal::CandidateOutOfOrder { candidate, next })?;
        let has_parents = selection.parents().eq(created.parents.iter().copied());
        refuse_if(!has_parents, Refusal::OtherParents(candidate))?;
        check_operator(selection.proposer, created.operator)?;
        match self.seen(&created.fingerprint.program).or_else(|| self.seen_normalised(&created.fingerprint.normalised))
        {
            Some(of) => Err(Refusal::Duplicate { candidate, of }),
            None => Ok(()),
        }
    }

    fn check_evaluated(&self, candidate: CandidateId, evaluation: &Evaluation) -> Result<(), Refusal> {
        refuse_if(self.baseline.is_none(), Refusal::NoBaseline)?;
        let known = self.existing(candidate)?;
        refuse_if(known.outcome.is_some(), Refusal::EvaluatedBefore(candidate))?;
        let outclassed = matches!(evaluation, Evaluation::Outclassed { .. });
        refuse_if(outclassed && known.outclassed_below.is_none(), Refusal::StoppedEarly(candidate))
    }

    fn check_refuted(&self, candidate: CandidateId, evaluation: &Evaluation) -> Result<(), Refusal> {
        self.contender(candidate)?;
        match evaluation {
            Evaluation::Measured { measurement } => {
                refuse_if(self.is_confirmed_by(candidate, measurement)?, Refusal::Confirmed(candidate))
            }
            Evaluation::Rejected { .. } => Ok(()),
            Evaluation::Outclassed { .. } => Err(Refusal::StoppedEarly(candidate)),
        }
    }

    fn contender(&self, candidate: CandidateId) -> Result<&Contender, Refusal> {
        let contender = self.contenders.iter().find(|contender| contender.candidate == candidate);
        contender.ok_or(Refusal::NotAContender(candidate))
    }

    fn existing(&self, id: CandidateId) -> Result<&Candidate, Refusal> {
        self.candidate(id).ok_or(Refusal::NoCandidate(id))
    }

    fn opened(&self, attempt: u64) -> Result<&Selection, Refusal> {
        self.attempt_under_way(attempt).ok_or(Refusal::AttemptNotOpen(attempt))
    }
}

fn check_operator(proposer: Proposer, operator: Option<Operator>) -> Result<(), Refusal> {
    match operator.filter(|operator| !proposer.operators().contains(operator)) {
        Some(operator) => Err(Refusal::NoOperator { proposer, operator }),
        None => Ok(()),
    }
}

fn refuse_if(condition: bool, refusal: Refusal) -> Result<(), Refusal> {
    if condition { Err(refusal) } else { Ok(()) }
}
