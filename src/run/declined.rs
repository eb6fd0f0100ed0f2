//! The declined documents of a run's corpus.

use std::collections::BTreeMap;

use crate::journal::{JournalError, Reader};
use crate::run::folder::RunFolder;
use crate::values::event::{CandidateCreated, CorpusEntry, Declined, Event, Proposer, Selection};

/// The declined documents of a run's corpus, with the reasons. Reads only the beginning of the journal, because the
/// corpus comes first.
///
/// # Errors
/// The journal is damaged.
pub fn declined_documents(folder: &RunFolder) -> Result<Vec<(String, Declined)>, JournalError> {
    let (mut corpus, mut open, mut declined) = (Vec::<CorpusEntry>::new(), BTreeMap::new(), Vec::new());
    let mut selected = 0;
    for entry in Reader::open(&folder.journal())? {
        match entry?.event {
            Event::RunStarted(started) => corpus = started.corpus,
            Event::Selected { attempt, selection: Selection { proposer: Proposer::Corpus(place), .. } } => {
                selected += 1;
                open.extend(corpus.get(place).map(|entry| (attempt, entry.file.clone())));
            }
            Event::CandidateCreated(CandidateCreated { attempt, .. }) => drop(open.remove(&attempt)),
            Event::ProposalDeclined { attempt, reason, .. } => {
                declined.extend(open.remove(&attempt).map(|file| (file, reason)));
            }
            _ => {}
        }
        if selected == corpus.len() && open.is_empty() {
            break;
        }
    }
    Ok(declined)
}
