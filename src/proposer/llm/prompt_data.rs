//! Collects the data of a prompt from the state of the search, the history of the run and the texts of its programs.
//! Only reads.

use crate::archive::{Repository, RepositoryError};
use crate::edit::proposal::Proposal;
use crate::proposer::llm::context::{Failed, ProgramShown, PromptContext, Step, SummaryContext};
use crate::proposer::llm::conversation::Conversation;
use crate::proposer::llm::history::{Failure, PromptHistory, Source};
use crate::proposer::llm::{prompt, reply, request::Request};
use crate::search::{Candidate, Search};
use crate::values::candidate::{BlobId, CandidateId};
use crate::values::event::{RequestForm, Selection};

/// Ancestors, and failures, in a prompt.
const MOST_ANCESTORS: usize = 8;
const MOST_FAILURES: usize = 6;

#[derive(Clone, Copy, Debug)]
pub struct PromptData<'a> {
    pub search: &'a Search,
    pub memory: &'a PromptHistory,
    pub repository: &'a Repository,
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
    ///
    /// # Errors
    /// The archive cannot be read.
    pub fn context(&self, selection: &Selection) -> Result<PromptContext, RepositoryError> {
        let mut inspirations: Vec<ProgramShown> =
            selection.inspirations.iter().map(|other| self.shown(*other)).collect::<Result<_, _>>()?;
        let crosses = selection.form == Some(RequestForm::Crossover) && !inspirations.is_empty();
        let other = crosses.then(|| inspirations.remove(0));
        Ok(PromptContext {
            parent: self.shown(selection.parent)?,
            other,
            baseline: self.memory.baseline().cloned(),
            ancestors: self.ancestors(selection.parent)?,
            failures: self.failures(selection.parent)?,
            inspirations,
            summary: self.summary()?,
        })
    }

    /// For a summary.
    ///
    /// # Errors
    /// An archive that cannot be read.
    pub fn summary_context(&self) -> Result<SummaryContext, RepositoryError> {
        Ok(SummaryContext {
            previous: self.summary()?,
            steps: self.memory.steps().map(|candidate| self.step(candidate)).collect::<Result<_, _>>()?,
            failures: self.memory.fresh_failures().map(|failure| self.failed(failure)).collect::<Result<_, _>>()?,
            best: self.search.best().map(|best| self.shown(best.candidate)).transpose()?,
        })
    }

    /// A rejected candidate with its conversation; `None` if the history has dropped it.
    ///
    /// # Errors
    /// An archive that cannot be read.
    pub fn returned(&self, candidate: CandidateId) -> Result<Option<Returned>, RepositoryError> {
        let Some(made) = self.memory.made(candidate) else { return Ok(None) };
        let (Some(exchange), Some(diagnosis)) = (made.exchange, made.diagnosis.clone()) else { return Ok(None) };
        let conversation = Request::conversation(&self.repository.read_blob(exchange.request)?);
        let reply = self.text(exchange.reply)?;
        Ok(conversation.zip(reply).map(|(conversation, reply)| Returned { conversation, reply, diagnosis }))
    }

    /// The text of a reply.
    fn text(&self, reply: BlobId) -> Result<Option<String>, RepositoryError> {
        Ok(reply::read(&self.repository.read_blob(reply)?).text.ok())
    }

    fn summary(&self) -> Result<Option<String>, RepositoryError> {
        let Some(reply) = self.memory.summary() else { return Ok(None) };
        Ok(self.text(reply)?.map(|text| prompt::summary(&text)))
    }

    fn known(&self, candidate: CandidateId) -> &Candidate {
        self.search.candidate(candidate).expect("BUG: only candidates of the run are shown")
    }

    fn shown(&self, candidate: CandidateId) -> Result<ProgramShown, RepositoryError> {
        let known = self.known(candidate);
        let program = self.repository.program(known.commit, &self.search.origin().file_name)?;
        let figures = self.memory.figures(candidate).cloned();
        Ok(ProgramShown::new(&known.name, &self.description(candidate)?, &program, figures))
    }

    fn description(&self, candidate: CandidateId) -> Result<String, RepositoryError> {
        let document = self.repository.proposal(self.known(candidate).commit)?;
        let Some(document) = document else { return Ok("The program that the run started from.".to_owned()) };
        Ok(proposal(&document).map(|proposal| proposal.description).unwrap_or_default())
    }

    /// The edits that led to a candidate, the latest first.
    fn ancestors(&self, candidate: CandidateId) -> Result<Vec<Step>, RepositoryError> {
        let edited = |candidate: &CandidateId| self.known(*candidate).parents.first().copied();
        let line = std::iter::successors(Some(candidate), edited).filter(|candidate| *candidate != CandidateId::SEED);
        line.take(MOST_ANCESTORS).map(|candidate| self.step(candidate)).collect()
    }

    fn step(&self, candidate: CandidateId) -> Result<Step, RepositoryError> {
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
    fn failures(&self, parent: CandidateId) -> Result<Vec<Failed>, RepositoryError> {
        let (own, others): (Vec<_>, Vec<_>) =
            self.memory.failures().rev().partition(|failure| failure.parent == parent);
        own.into_iter().chain(others).take(MOST_FAILURES).map(|failure| self.failed(failure)).collect()
    }

    fn failed(&self, failure: &Failure) -> Result<Failed, RepositoryError> {
        let document = match failure.source {
            Source::Candidate(candidate) => self.repository.proposal(self.known(candidate).commit)?,
            Source::Document(document) => Some(self.repository.read_blob(document)?),
            Source::Nowhere => None,
        };
        let proposal = document.and_then(|document| proposal(&document));
        let (name, description) = proposal.map(|proposal| (proposal.name, proposal.description)).unzip();
        Ok(Failed { name, description, evidence: failure.evidence.clone() })
    }
}

fn proposal(document: &[u8]) -> Option<Proposal> {
    Proposal::parse(std::str::from_utf8(document).ok()?).ok()
}
