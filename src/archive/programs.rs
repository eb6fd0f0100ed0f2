//! The programs and proposals of a run, from its journal. A program is derived from its parent and its proposal;
//! nothing is read from git.

use std::path::Path;
use std::sync::Arc;

use crate::archive::candidate::blob_id;
use crate::archive::error::ProgramsError;
use crate::edit::proposal::Proposal;
use crate::journal::{Events, JournalError};
use crate::values::candidate::CandidateId;
use crate::values::event::{CandidateCreated, Declined, Event, RunStarted};
use crate::values::memo::Memo;
use crate::values::raw_text::{RawText, text_of};

/// Cached programs: about the number of parents in most runs.
const REMEMBERED: usize = 128;

/// Applies a proposal to the program of its parent.
///
/// # Errors
/// The proposal does not apply.
pub fn derive(parent: &str, proposal: &[u8]) -> Result<(Proposal, String), Declined> {
    let unreadable = |error: String| Declined::Unreadable { error };
    let text = text_of(proposal).map_err(|error| unreadable(format!("it is {error}")))?;
    let proposal = Proposal::parse(text).map_err(|error| unreadable(error.to_string()))?;
    let program = proposal.edit.apply(parent).map_err(|mismatch| Declined::DoesNotApply { mismatch })?;
    Ok((proposal, program))
}

/// The offset of a candidate's line, and the parent.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    edited: CandidateId,
}

/// The programs of a run.
#[derive(Debug)]
pub struct Programs {
    events: Events<Event>,
    seed: Arc<str>,
    /// Of all candidates except the seed program.
    places: Vec<Place>,
    recent: Memo<CandidateId, Arc<str>>,
}

impl Programs {
    /// For a run with only its seed program.
    ///
    /// # Errors
    /// The journal cannot be opened.
    pub fn new(journal: &Path, started: &RunStarted) -> Result<Self, JournalError> {
        let (events, seed) = (Events::open(journal)?, Arc::from(started.program.as_str()));
        Ok(Self { events, seed, places: Vec::new(), recent: Memo::new(REMEMBERED) })
    }

    /// Adds the next candidate, whose line is at `offset`.
    pub fn add(&mut self, created: &CandidateCreated, offset: u64) {
        self.places.push(Place { offset, edited: created.parents[0] });
    }

    /// The event that created a candidate; `None` for the seed program.
    ///
    /// # Errors
    /// The journal cannot be read, or it was changed.
    pub fn created(&self, candidate: CandidateId) -> Result<Option<CandidateCreated>, ProgramsError> {
        let Some(place) = candidate.index().checked_sub(1) else { return Ok(None) };
        match self.events.at(self.places[place].offset)? {
            Event::CandidateCreated(created) if created.candidate == candidate => Ok(Some(created)),
            _ => Err(ProgramsError::Moved(candidate)),
        }
    }

    /// The proposal of a candidate, as received; `None` for the seed program.
    ///
    /// # Errors
    /// See [`Programs::created`].
    pub fn proposal(&self, candidate: CandidateId) -> Result<Option<RawText>, ProgramsError> {
        Ok(self.created(candidate)?.map(|created| created.proposal))
    }

    /// The program of a candidate.
    ///
    /// # Errors
    /// See [`Programs::created`]; also if the proposal leads to another program than recorded.
    pub fn program(&self, candidate: CandidateId) -> Result<Arc<str>, ProgramsError> {
        let mut line = Vec::new();
        let mut oldest = candidate;
        let mut program = loop {
            if oldest == CandidateId::SEED {
                break Arc::clone(&self.seed);
            }
            if let Some(known) = self.recent.peek(&oldest) {
                break known;
            }
            line.push(oldest);
            oldest = self.places[oldest.index() - 1].edited;
        };
        for candidate in line.into_iter().rev() {
            program = self.child(candidate, &program)?;
            self.recent.put(candidate, Arc::clone(&program));
        }
        Ok(program)
    }

    /// Caches a derived program.
    pub fn remember(&self, candidate: CandidateId, program: &str) {
        self.recent.put(candidate, Arc::from(program));
    }

    fn child(&self, candidate: CandidateId, parent: &str) -> Result<Arc<str>, ProgramsError> {
        let created = self.created(candidate)?.ok_or(ProgramsError::Moved(candidate))?;
        let not_derived = |reason: String| ProgramsError::NotDerived { candidate, reason };
        let (_, program) = derive(parent, &created.proposal.0).map_err(|reason| not_derived(reason.to_string()))?;
        match blob_id(program.as_bytes()) {
            id if id == created.fingerprint.program => Ok(Arc::from(program)),
            id => Err(not_derived(format!("it makes {id}, the journal has {}", created.fingerprint.program))),
        }
    }
}
