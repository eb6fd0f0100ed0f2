//! Answered: why an answer of a language model holds no proposal, and went back to it. The journal does not say that: it
//! follows from the reply that the record has.

use std::collections::BTreeMap;

use crate::archive::Programs;
use crate::journal::exchanges::Exchanges;
use crate::proposer::llm::document::document;
use crate::proposer::llm::reply;
use crate::run::folder::RunFolder;
use crate::values::event::{Asking, CandidateCreated, Event, ExchangeRef, ModelAsked, Selection};

/// The open attempts of a run, as its events pass.
#[derive(Debug)]
pub struct Answers {
    exchanges: Exchanges,
    attempts: BTreeMap<u64, Selection>,
}

impl Answers {
    /// Before the first event of a run.
    pub fn of(folder: &RunFolder) -> Self {
        Self { exchanges: Exchanges::new(folder.exchanges()), attempts: BTreeMap::new() }
    }

    /// Takes the next event. Returns the problem if it is an answer without a proposal that can be tried.
    pub fn problem(&mut self, event: &Event, programs: &Programs) -> Option<String> {
        match event {
            Event::Selected { attempt, selection } if selection.form.is_some() => {
                self.attempts.insert(*attempt, selection.clone());
                None
            }
            Event::CandidateCreated(CandidateCreated { attempt, .. }) | Event::ProposalDeclined { attempt, .. } => {
                self.attempts.remove(attempt);
                None
            }
            Event::ModelAsked(ModelAsked { asking: Asking::Proposal(attempt), exchange, error: None, .. }) => {
                self.of_answer(*attempt, *exchange, programs)
            }
            _ => None,
        }
    }

    fn of_answer(&self, attempt: u64, exchange: ExchangeRef, programs: &Programs) -> Option<String> {
        let selection = self.attempts.get(&attempt)?;
        let reply = self.exchanges.read(exchange).ok()?.reply?;
        let text = reply::read(&reply.0).text.ok()?;
        let parent = programs.program(selection.parent).ok()?;
        document(selection.form?, &parent, &text).err().map(|error| error.to_string())
    }
}
