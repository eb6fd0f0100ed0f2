//! Collects the data of a prompt from the state of the search, the history of the run and the texts of its programs.
//! Only reads.

use thiserror::Error;

use crate::archive::{Programs, ProgramsError};
use crate::edit::proposal::Proposal;
use crate::journal::exchanges::{Exchange, ExchangeError, Exchanges};
use crate::proposer::llm::context::{Failed, ProgramShown, PromptContext, Step, SummaryContext};
use crate::proposer::llm::conversation::Conversation;
use crate::proposer::llm::history::{Failure, PromptHistory, Source};
use crate::proposer::llm::{prompt, reply, request::Request};
use crate::search::{Candidate, Search};
use crate::values::candidate::CandidateId;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::{RequestForm, Selection};
use crate::values::raw_text::RawText;

/// Ancestors, and failures, in a prompt.
const MOST_ANCESTORS: usize = 8;
const MOST_FAILURES: usize = 6;

/// A text that a prompt needs cannot be read.
#[derive(Debug, Error)]
pub enum PromptDataError {
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

impl Classify for PromptDataError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Programs(error) => error.kind(),
            Self::Exchange(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Programs(error) => error.hint(),
            Self::Exchange(error) => error.hint(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct PromptData<'a> {
    pub search: &'a Search,
    pub history: &'a PromptHistory,
    pub programs: &'a Programs,
    pub exchanges: &'a Exchanges,
}

/// A rejected candidate that goes back to its model.
#[derive(Clone, Debug)]
pub struct Returned {
    /// The request that the model answered.
    pub conversation: Conversation,
    pub reply: String,
    pub diagnosis: String,
}

impl PromptData<'_> {
    /// For a proposal.
    pub fn context(&self, selection: &Selection) -> Result<PromptContext, PromptDataError> {
        let mut inspirations: Vec<ProgramShown> =
            selection.inspirations.iter().map(|other| self.shown(*other)).collect::<Result<_, _>>()?;
        let crosses = selection.form == Some(RequestForm::Crossover) && !inspirations.is_empty();
        let other = crosses.then(|| inspirations.remove(0));
        Ok(PromptContext {
            parent: self.shown(selection.parent)?,
            other,
            baseline: self.history.baseline().cloned(),
            ancestors: self.ancestors(selection.parent)?,
            failures: self.failures(selection.parent)?,
            inspirations,
            summary: self.summary()?,
            numba: self.search.origin().judge.numba.clone(),
            policy: self.search.settings().evaluation.policy.map(|policy| policy.deployment),
        })
    }

    /// For a summary.
    pub fn summary_context(&self) -> Result<SummaryContext, PromptDataError> {
        Ok(SummaryContext {
            previous: self.summary()?,
            steps: self.history.steps.iter().map(|candidate| self.step(*candidate)).collect::<Result<_, _>>()?,
            failures: self.history.fresh_failures().map(|failure| self.failed(failure)).collect::<Result<_, _>>()?,
            best: self.search.best().map(|best| self.shown(best.candidate)).transpose()?,
            numba: self.search.origin().judge.numba.clone(),
            policy: self.search.settings().evaluation.policy.map(|policy| policy.deployment),
        })
    }

    /// A rejected candidate with its conversation; `None` if the history has dropped it.
    pub fn returned(&self, candidate: CandidateId) -> Result<Option<Returned>, PromptDataError> {
        let Some(made) = self.history.made.get(&candidate) else { return Ok(None) };
        let (Some(exchange), Some(diagnosis)) = (made.exchange, made.diagnosis.clone()) else { return Ok(None) };
        let Exchange { request, reply } = self.exchanges.read(exchange)?;
        let (conversation, reply) = (Request::conversation(&request.0), reply.and_then(|reply| text(&reply)));
        Ok(conversation.zip(reply).map(|(conversation, reply)| Returned { conversation, reply, diagnosis }))
    }

    fn summary(&self) -> Result<Option<String>, PromptDataError> {
        let Some(exchange) = self.history.summary else { return Ok(None) };
        let reply = self.exchanges.read(exchange)?.reply;
        Ok(reply.and_then(|reply| text(&reply)).map(|text| prompt::summary(&text)))
    }

    fn known(&self, candidate: CandidateId) -> &Candidate {
        self.search.candidate(candidate).expect("BUG: only candidates of the run are shown")
    }

    fn shown(&self, candidate: CandidateId) -> Result<ProgramShown, PromptDataError> {
        let known = self.known(candidate);
        let program = self.programs.program(candidate)?;
        let figures = self.history.figures.get(&candidate).cloned();
        Ok(ProgramShown::new(&known.name, &self.description(candidate)?, &program, figures))
    }

    fn description(&self, candidate: CandidateId) -> Result<String, PromptDataError> {
        let Some(document) = self.programs.proposal(candidate)? else {
            return Ok("The program that the run started from.".to_owned());
        };
        Ok(proposal(&document.0).map(|proposal| proposal.description).unwrap_or_default())
    }

    /// The edits that led to a candidate, the latest first.
    fn ancestors(&self, candidate: CandidateId) -> Result<Vec<Step>, PromptDataError> {
        let edited = |candidate: &CandidateId| self.known(*candidate).parents.first().copied();
        let line = std::iter::successors(Some(candidate), edited).filter(|candidate| *candidate != CandidateId::SEED);
        line.take(MOST_ANCESTORS).map(|candidate| self.step(candidate)).collect()
    }

    fn step(&self, candidate: CandidateId) -> Result<Step, PromptDataError> {
        let score = |candidate| self.search.scores_of(candidate).map(|scores| scores.combined_score);
        let known = self.known(candidate);
        Ok(Step {
            name: known.name.clone(),
            description: self.description(candidate)?,
            before: known.parents.first().and_then(|parent| score(*parent)),
            after: score(candidate),
        })
    }

    /// The latest failures, those of this parent first.
    fn failures(&self, parent: CandidateId) -> Result<Vec<Failed>, PromptDataError> {
        let (own, others): (Vec<_>, Vec<_>) =
            self.history.failures.iter().rev().partition(|failure| failure.parent == parent);
        own.into_iter().chain(others).take(MOST_FAILURES).map(|failure| self.failed(failure)).collect()
    }

    fn failed(&self, failure: &Failure) -> Result<Failed, PromptDataError> {
        let document = match &failure.source {
            Source::Candidate(candidate) => self.programs.proposal(*candidate)?,
            Source::Document(document) => Some(document.clone()),
            Source::Nowhere => None,
        };
        let proposal = document.and_then(|document| proposal(&document.0));
        let (name, description) = proposal.map(|proposal| (proposal.name, proposal.description)).unzip();
        Ok(Failed { name, description, evidence: failure.evidence.clone() })
    }
}

fn text(reply: &RawText) -> Option<String> {
    reply::read(&reply.0).text.ok()
}

fn proposal(document: &[u8]) -> Option<Proposal> {
    Proposal::parse(std::str::from_utf8(document).ok()?).ok()
}
