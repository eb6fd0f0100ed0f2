//! Rules: which event can follow which state, and the one place where events change it.

use std::fmt::Display;

use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::Evaluation;
use thiserror::Error;

use crate::search::best::{Contender, OpenDuel};
use crate::search::candidate::Candidate;
use crate::search::state::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::{Asking, CandidateCreated, Declined, Event, ModelAsked, Proposer, Selection};
use crate::values::operator::Operator;

/// Why an event cannot follow the events before it. No run writes such an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Refusal {
    pub(super) fn new(reason: impl Display) -> Self {
        Self(reason.to_string())
    }
}

impl Search {
    /// Checks that an event can follow this state, and takes it in.
    /// A refused event leaves the state as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), Refusal> {
        if self.stopped.is_some() && !matches!(event, Event::RunResumed { .. }) {
            return Err(Refusal::new("the run has stopped and was not resumed"));
        }
        match event {
            Event::RunStarted(_) => return Err(Refusal::new("a run starts once")),
            Event::SlotOpened { slot, judge, baseline } => {
                self.places.check_opened(*slot).map_err(Refusal::new)?;
                let is_early = baseline.is_some() && self.baseline.is_none();
                refuse_if(is_early, "there is no baseline yet")?;
                self.places.opened(*slot, judge.as_deref(), baseline.as_deref());
            }
            Event::SlotLost { slot, task, refused, .. } => {
                self.places.check_lost(*slot, task.is_some()).map_err(Refusal::new)?;
                self.places.lost(*slot, *refused);
            }
            Event::BaselineEvaluated { slot, measurement, inconsistencies } => {
                refuse_if(self.baseline.is_some(), "the baseline is known")?;
                self.places.check_measured(*slot).map_err(Refusal::new)?;
                self.places.measured_baseline(*slot);
                self.know_baseline(*slot, measurement, inconsistencies);
            }
            Event::ProposalGiven(given) => {
                self.existing(given.parent)?;
                refuse_if(self.was_given(&given.letter), format_args!("{} was given before", given.letter))?;
                self.given.push(given.clone());
            }
            Event::Selected { attempt, selection } => {
                self.check_selected(*attempt, selection)?;
                self.open_attempt(*attempt, selection);
            }
            Event::ModelAsked(asked) => {
                self.check_asked(asked)?;
                self.models.spent += asked.charge;
                self.credit.proposers.charged(Proposer::Model(asked.model), asked.charge);
            }
            Event::ModelPaused { model, seconds, .. } => {
                refuse_if(!self.models.is_on(*model), format_args!("language model {model} is not in use"))?;
                match seconds {
                    Some(_) => self.models.pause(*model),
                    None => self.models.switch_off(*model),
                }
            }
            Event::ModelResumed { model } => {
                refuse_if(!self.models.is_paused(*model), format_args!("language model {model} is not paused"))?;
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
            Event::CandidateEvaluated { candidate, slot, evaluation, partial } => {
                self.check_evaluated(*candidate, evaluation, *partial)?;
                self.places.check_measured(*slot).map_err(Refusal::new)?;
                self.admit(*candidate, *slot, evaluation, *partial);
            }
            Event::LimitNear { .. } => {
                refuse_if(self.limit_near, "a limit was near before")?;
                self.limit_near = true;
            }
            Event::DuelStarted { contender, best, seed } => {
                self.check_duel_started(*contender, *best)?;
                self.duel = Some(OpenDuel { contender: *contender, best: *best, seed: *seed });
            }
            Event::DuelEnded { contender, slot, duel } => {
                self.check_duel_ended(*contender, duel)?;
                self.places.check_measured(*slot).map_err(Refusal::new)?;
                self.end_duel(*contender, *slot, duel);
            }
            Event::RunStopped { reason } => self.stopped = Some(*reason),
            Event::RunResumed { candidates } => {
                (self.stopped, self.limit_near) = (None, false);
                self.candidate_limit = *candidates;
                self.models.resume_all();
                self.places.close_all();
            }
        }
        Ok(())
    }

    fn check_selected(&self, attempt: u64, selection: &Selection) -> Result<(), Refusal> {
        refuse_if(self.baseline.is_none(), "there is no baseline yet")?;
        let next = self.attempts;
        refuse_if(attempt != next, format_args!("attempt {attempt}, but {next} is the next"))?;
        match selection.proposer {
            Proposer::Corpus(place) => {
                let count = self.corpus.len();
                refuse_if(place >= count, format_args!("the corpus has {count} documents, none at place {place}"))?;
                let is_used = self.corpus[place].is_some();
                refuse_if(
                    is_used,
                    format_args!("the document at place {place} of the corpus made a candidate before"),
                )?;
            }
            Proposer::Person(place) => {
                let next = self.given_tried;
                refuse_if(place != next, format_args!("proposal {place} of a person, but {next} is the next"))?;
                let given = self.given.get(place);
                refuse_if(given.is_none(), format_args!("no proposal {place} was given"))?;
                let is_its = given.is_some_and(|given| given.parent == selection.parent);
                refuse_if(!is_its, "a proposal was given for another parent")?;
            }
            Proposer::Model(model) => self.check_model(model)?,
            _ => {}
        }
        check_operator(selection.proposer, selection.operator)?;
        let is_cut = selection.cut.is_some();
        let needs_cut = selection.proposer == Proposer::Prune;
        refuse_if(is_cut != needs_cut, "a selection has a cut if and only if its proposer is prune")?;
        let (parent, island) = (selection.parent, selection.island);
        let is_best = self.best.as_ref().is_some_and(|best| best.candidate == parent);
        refuse_if(is_cut && !is_best, format_args!("candidate {parent} is not the best, and only the best is pruned"))?;
        let is_model = matches!(selection.proposer, Proposer::Model(_));
        let has_form = selection.form.is_some();
        refuse_if(is_model != has_form, "a selection has a form if and only if its proposer is a language model")?;
        if let Some(candidate) = selection.repairs {
            let goes_back = self.models.rejected().contains(&candidate);
            refuse_if(!goes_back, format_args!("candidate {candidate} does not go back to a language model"))?;
        }
        refuse_if(island >= self.islands.count(), format_args!("there is no island {island}"))?;
        selection.parents().try_for_each(|parent| self.existing(parent).map(drop))?;
        selection.inspirations.iter().try_for_each(|other| self.existing(*other).map(drop))?;
        // Only models take their time: all others propose, or give up, at once.
        let open = self.open.iter().find(|open| !matches!(open.selection.proposer, Proposer::Model(_)));
        open.map_or(Ok(()), |open| Err(Refusal::new(format_args!("attempt {} is still open", open.number))))
    }

    /// Whether a letter of the inbox was taken before.
    pub fn was_given(&self, letter: &str) -> bool {
        self.given.iter().any(|given| given.letter == letter)
    }

    fn check_asked(&self, asked: &ModelAsked) -> Result<(), Refusal> {
        let model = asked.model;
        self.check_model(model)?;
        let Asking::Proposal(attempt) = asked.asking else { return Ok(()) };
        let is_own = self.opened(attempt)?.proposer == Proposer::Model(model);
        refuse_if(!is_own, format_args!("attempt {attempt} is not that of language model {model}"))
    }

    fn check_model(&self, model: usize) -> Result<(), Refusal> {
        let count = self.models.count();
        refuse_if(model >= count, format_args!("there are {count} language models, none at place {model}"))
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
        refuse_if(candidate.index() != next, format_args!("candidate {candidate}, but {next} is the next"))?;
        let has_parents = selection.parents().eq(created.parents.iter().copied());
        refuse_if(!has_parents, format_args!("candidate {candidate} has other parents than its selection"))?;
        check_operator(selection.proposer, created.operator)?;
        match self.seen(&created.fingerprint.program).or_else(|| self.seen_normalised(&created.fingerprint.normalised))
        {
            Some(of) => Err(Refusal::new(format_args!("candidate {candidate} is the same program as candidate {of}"))),
            None => Ok(()),
        }
    }

    fn check_evaluated(&self, candidate: CandidateId, evaluation: &Evaluation, partial: bool) -> Result<(), Refusal> {
        refuse_if(self.baseline.is_none(), "there is no baseline yet")?;
        let known = self.existing(candidate)?;
        let is_over = known.outcome.is_some() && !known.is_partial;
        refuse_if(is_over, format_args!("candidate {candidate} was evaluated before"))?;
        let can_be_partial = self.is_measured_partially(candidate) && evaluation.measurement().is_some();
        refuse_if(partial && !can_be_partial, format_args!("candidate {candidate} is measured in full at once"))?;
        let outclassed = matches!(evaluation, Evaluation::Outclassed { .. });
        if outclassed && known.outclassed_below.is_none() { Err(stopped_early(candidate)) } else { Ok(()) }
    }

    fn check_duel_started(&self, contender: CandidateId, best: CandidateId) -> Result<(), Refusal> {
        refuse_if(!self.holds_out(), "no windows are held out")?;
        self.contender(contender)?;
        if let Some(open) = self.duel.filter(|open| open.contender != contender) {
            return Err(Refusal::new(format_args!("a duel of candidate {} is under way", open.contender)));
        }
        let is_opponent = self.opponent(contender).is_some_and(|opponent| opponent.candidate == best);
        refuse_if(!is_opponent, format_args!("candidate {contender} does not have to beat candidate {best}"))
    }

    fn check_duel_ended(&self, contender: CandidateId, duel: &Duel) -> Result<(), Refusal> {
        let is_open = self.duel.is_some_and(|open| open.contender == contender);
        refuse_if(!is_open, format_args!("no duel of candidate {contender} is under way"))?;
        let can_end_so =
            |evaluation: &Evaluation| matches!(evaluation, Evaluation::Measured { .. } | Evaluation::Rejected { .. });
        refuse_if(!can_end_so(&duel.contender) || !can_end_so(&duel.best), "a duel measures or rejects both programs")
    }

    fn contender(&self, candidate: CandidateId) -> Result<&Contender, Refusal> {
        let contender = self.contenders.iter().find(|contender| contender.candidate == candidate);
        contender.ok_or_else(|| Refusal::new(format_args!("candidate {candidate} is not a contender")))
    }

    fn existing(&self, id: CandidateId) -> Result<&Candidate, Refusal> {
        self.candidate(id).ok_or_else(|| Refusal::new(format_args!("there is no candidate {id}")))
    }

    fn opened(&self, attempt: u64) -> Result<&Selection, Refusal> {
        let selection = self.attempt_under_way(attempt);
        selection.ok_or_else(|| Refusal::new(format_args!("attempt {attempt} is not open")))
    }
}

fn check_operator(proposer: Proposer, operator: Option<Operator>) -> Result<(), Refusal> {
    let Some(operator) = operator else { return Ok(()) };
    let has_operator = proposer.operators().contains(&operator);
    refuse_if(!has_operator, format_args!("{proposer} has no operator {operator}"))
}

fn stopped_early(candidate: CandidateId) -> Refusal {
    Refusal::new(format_args!("the evaluation of candidate {candidate} must not stop early"))
}

fn refuse_if(condition: bool, reason: impl Display) -> Result<(), Refusal> {
    if condition { Err(Refusal::new(reason)) } else { Ok(()) }
}
