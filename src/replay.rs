//! Replay: makes a candidate, or a whole run, again from the program that the run started from, and says where the
//! record and what comes of it part. The same functions as in a live run; nothing is written.

mod measured;

use std::collections::HashMap;
use std::fmt;

use packevolve_contract::evaluation::Evaluation;
use serde::Serialize;
use thiserror::Error;

use crate::candidate::{CandidateId, CommitId};
use crate::derive::{Derived, Descent, derive};
use crate::event::{Asking, Declined, Event, ModelAsked, Proposer, RunStarted, Selection};
use crate::judge::JudgeError;
use crate::propose::{ProposeError, Proposers};
use crate::proposer::llm::document::document;
use crate::proposer::llm::reply;
use crate::repository::{Repository, RepositoryError, Written};
use crate::run::Run;
use crate::search::{Next, Search};

pub use measured::{Calls, Elsewhere, Moved, Remeasured, Speed, measure};

/// The record and what comes of it are not the same.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum Divergence {
    #[error("{what}: the record has {expected}, replay gives {got}")]
    Differs { what: String, expected: String, got: String },
    #[error("candidate {candidate} ({name}) does not come of its proposal any more: {reason}")]
    NotDerived { candidate: CandidateId, name: String, reason: String },
    #[error(transparent)]
    Archive(#[from] RepositoryError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// One candidate made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its number.
    pub candidate: CandidateId,
    /// NAME of its proposal.
    pub name: String,
    /// Its commit, as recorded and as made again.
    pub commit: CommitId,
}

/// The programs of candidates made again, and the reader of what they are made from.
struct Maker<'a> {
    started: &'a RunStarted,
    repository: &'a Repository,
    proposers: Proposers,
    programs: HashMap<CandidateId, String>,
    /// What models answered last, by the attempts under way.
    answers: HashMap<u64, String>,
}

/// Makes `candidate` and its ancestors again, oldest first, and compares every program and commit id.
///
/// # Errors
/// The first difference.
pub fn lineage(run: &Run, repository: &Repository, candidate: CandidateId) -> Result<Vec<Step>, Divergence> {
    let mut maker = Maker::new(&run.search, repository)?;
    run.search.line_to(candidate).into_iter().map(|candidate| maker.make(&run.search, candidate)).collect()
}

/// Makes the whole run again: every decision, every proposal that was drawn, every candidate.
///
/// # Errors
/// The first difference, with the number of its event.
pub fn whole(run: &Run, repository: &Repository) -> Result<Vec<Step>, Divergence> {
    let started = run.search.started();
    let mut search = Search::new(started.clone());
    let mut maker = Maker::new(&run.search, repository)?;
    let mut steps = vec![maker.make(&run.search, CandidateId::SEED)?];
    repository.read_blob(started.baseline)?;
    for entry in &run.entries[1..] {
        let at = |what: &str| format!("event {}, {what}", entry.seq);
        match &entry.event {
            Event::Selected { attempt, selection } => {
                let recorded = Next::Attempt { attempt: *attempt, selection: selection.clone() };
                same(|| at("what to try next"), &Shown(&recorded), &Shown(&search.next()))?;
            }
            Event::CandidateCreated(created) => {
                let selection = selection_of(&search, created.attempt);
                let proposal = repository.proposal(created.commit)?.unwrap_or_default();
                maker.draw_again(&search, created.attempt, selection, Some(&proposal), &at("the proposal"))?;
                maker.answers.remove(&created.attempt);
                steps.push(maker.make(&run.search, created.candidate)?);
            }
            Event::ModelAsked(asked) => maker.hear(asked)?,
            Event::ProposalDeclined { attempt, reason: Declined::Unanswered { .. }, .. } => {
                maker.answers.remove(attempt);
            }
            Event::ProposalDeclined { attempt, proposal, reason } => {
                let selection = selection_of(&search, *attempt);
                let document = proposal.map(|id| repository.read_blob(id)).transpose()?;
                if let Declined::Unusable { error } = reason {
                    let again = maker.document_of_answer(*attempt, selection).err();
                    same(|| at("what is wrong with the answer"), &Shown(&Some(error.clone())), &Shown(&again))?;
                }
                maker.draw_again(&search, *attempt, selection, document.as_deref(), &at("the proposal"))?;
                maker.answers.remove(attempt);
            }
            _ => {}
        }
        search.apply(&entry.event);
    }
    Ok(steps)
}

/// The recorded evaluation of a candidate; the seed program's may be the baseline's.
pub fn evaluation_of(run: &Run, candidate: CandidateId) -> Option<Evaluation> {
    run.entries.iter().find_map(|entry| match &entry.event {
        Event::CandidateEvaluated { candidate: judged, evaluation } if *judged == candidate => Some(evaluation.clone()),
        Event::BaselineEvaluated { measurement } if candidate == CandidateId::SEED && run.search.baseline_is_seed() => {
            Some(Evaluation::Measured { measurement: measurement.clone() })
        }
        _ => None,
    })
}

impl<'a> Maker<'a> {
    fn new(search: &'a Search, repository: &'a Repository) -> Result<Self, ProposeError> {
        let started = search.started();
        let proposers = Proposers::open(started, repository)?;
        Ok(Self { started, repository, proposers, programs: HashMap::new(), answers: HashMap::new() })
    }

    /// Makes one candidate whose parents were made.
    fn make(&mut self, search: &Search, candidate: CandidateId) -> Result<Step, Divergence> {
        let known = search.candidate(candidate).expect("BUG: only candidates of the run are made again");
        self.repository.verify_candidate(known.commit)?;
        let (written, program) = match known.parents.first() {
            None => self.seed(known.commit)?,
            Some(edited) => self.child(search, candidate, *edited)?,
        };
        let what = |part: &str| format!("{part} of candidate {candidate} ({})", known.name);
        same(|| what("program"), &known.program, &written.program)?;
        same(|| what("commit"), &known.commit, &written.commit)?;
        self.programs.insert(candidate, program);
        Ok(Step { candidate, name: known.name.clone(), commit: written.commit })
    }

    fn seed(&self, commit: CommitId) -> Result<(Written, String), Divergence> {
        let program = self.repository.program(commit, &self.started.file_name)?;
        let descent = self.descent(CandidateId::SEED, &[], None);
        Ok((descent.as_seed(&program, |new| new.ids())?, program))
    }

    fn child(
        &self,
        search: &Search,
        candidate: CandidateId,
        edited: CandidateId,
    ) -> Result<(Written, String), Divergence> {
        let known = search.candidate(candidate).expect("BUG: made again from this search");
        let not_derived = |reason: String| Divergence::NotDerived { candidate, name: known.name.clone(), reason };
        let document = self
            .repository
            .proposal(known.commit)?
            .ok_or_else(|| not_derived("its commit holds no proposal".to_owned()))?;
        let Derived { proposal, program } =
            derive(&self.programs[&edited], &document).map_err(|reason| not_derived(reason.to_string()))?;
        let commit = |parent: &CandidateId| search.candidate(*parent).expect("BUG: parents are older").commit;
        let parents: Vec<_> = known.parents.iter().map(|parent| (*parent, commit(parent))).collect();
        let descent = self.descent(candidate, &parents, known.proposer);
        let (name, description) = (&proposal.name, &proposal.description);
        let written = descent.as_new(name, description, &program, Some(&document), |new| new.ids())?;
        Ok((written, program))
    }

    fn descent<'b>(
        &'b self,
        candidate: CandidateId,
        parents: &'b [(CandidateId, CommitId)],
        proposer: Option<Proposer>,
    ) -> Descent<'b> {
        let RunStarted { file_name, epoch, .. } = self.started;
        Descent { candidate, parents, proposer, file_name, epoch: *epoch }
    }

    /// Takes in a request and its reply as they were recorded; no endpoint is needed.
    fn hear(&mut self, asked: &ModelAsked) -> Result<(), Divergence> {
        self.repository.read_blob(asked.request)?;
        let reply = asked.reply.map(|reply| self.repository.read_blob(reply)).transpose()?;
        if let (Asking::Proposal(attempt), Some(reply), None) = (asked.asking, reply, &asked.error) {
            self.answers.insert(attempt, reply::read(&reply).text.unwrap_or_default());
        }
        Ok(())
    }

    /// The document that comes of what a model answered; what is wrong with the answer, if none does.
    fn document_of_answer(&self, attempt: u64, selection: &Selection) -> Result<Vec<u8>, String> {
        let answer = self.answers.get(&attempt).ok_or("there was no answer")?;
        let kind = selection.kind.expect("BUG: the journal was checked when it was read");
        document(kind, &self.programs[&selection.parent], answer).map_err(|error| error.to_string())
    }

    /// Asks the proposer of an attempt again and compares the document.
    fn draw_again(
        &self,
        search: &Search,
        attempt: u64,
        selection: &Selection,
        recorded: Option<&[u8]>,
        what: &str,
    ) -> Result<(), Divergence> {
        let program = |candidate: CandidateId| Ok::<_, RepositoryError>(self.programs[&candidate].clone());
        let again = match selection.proposer {
            Proposer::Model(_) => self.document_of_answer(attempt, selection).ok(),
            _ => self.proposers.draw(search, self.repository, (attempt, selection), program)?,
        };
        same(|| what.to_owned(), &Shown(&recorded.map(text)), &Shown(&again.as_deref().map(text)))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Shown by its `Debug`, for values that have no other.
struct Shown<'a, T>(&'a T);

impl<T: PartialEq> PartialEq for Shown<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: fmt::Debug> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

fn same<T: PartialEq + fmt::Display>(what: impl Fn() -> String, expected: &T, got: &T) -> Result<(), Divergence> {
    if expected == got {
        return Ok(());
    }
    Err(Divergence::Differs { what: what(), expected: expected.to_string(), got: got.to_string() })
}

fn selection_of(search: &Search, attempt: u64) -> &Selection {
    let open = search.open_attempts().iter().find(|(open, _)| *open == attempt);
    &open.expect("BUG: the journal was checked when it was read").1
}
