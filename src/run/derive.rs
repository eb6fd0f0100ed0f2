//! Derive: makes a child from its parent and a document, and a commit from a child. Live runs and replay use the same
//! functions.

use crate::archive::programs::derive;
use crate::archive::{NewCandidate, Programs, ProgramsError, blob_id};
use crate::edit::proposal::Proposal;
use crate::proposer::{normalised, size};
use crate::search::Search;
use crate::values::candidate::{BlobId, CandidateId};
use crate::values::event::{Declined, Proposer};

/// A program that an edit makes, not a candidate yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    pub proposal: Proposal,
    pub program: String,
    /// See [`normal_form`].
    pub normalised: BlobId,
    /// See [`normal_form`].
    pub size: u64,
}

/// Applies a document, as received, to the program of its parent.
///
/// # Errors
/// The document makes no program, or one that `search` has seen.
pub fn novel(search: &Search, parent: &str, document: &[u8]) -> Result<Child, Declined> {
    let (proposal, program) = derive(parent, document)?;
    if let Some(of) = search.seen(&blob_id(program.as_bytes())) {
        return Err(Declined::Duplicate { of });
    }
    let (normalised, size) = normal_form(&program);
    match search.seen_normalised(&normalised) {
        Some(of) => Err(Declined::NotNovel { of }),
        None => Ok(Child { proposal, program, normalised, size }),
    }
}

/// The id of a program without comments, blank lines and names of locals, and its number of tokens.
pub fn normal_form(program: &str) -> (BlobId, u64) {
    let normal = normalised(program);
    (blob_id(normal.as_bytes()), size(&normal))
}

/// The rest of a candidate's commit, beside its program and proposal.
#[derive(Clone, Debug)]
pub struct Descent<'a> {
    pub candidate: CandidateId,
    /// The first of them is the one it edits.
    pub parents: &'a [CandidateId],
    /// `None` for the seed program.
    pub proposer: Option<Proposer>,
}

impl Descent<'_> {
    /// The archive's form of a candidate. Equal input gives the same commit.
    pub fn new_candidate(&self, search: &Search, proposal: &Proposal, program: &str, document: &[u8]) -> NewCandidate {
        let mut trailers = vec![("Candidate", self.candidate.to_string())];
        trailers.extend(self.parents.iter().map(|parent| ("Parent", parent.to_string())));
        trailers.extend(self.proposer.map(|proposer| ("Proposer", proposer.to_string())));
        let commit = |parent: &CandidateId| search.candidate(*parent).expect("BUG: parents are older").commit;
        NewCandidate {
            number: self.candidate.0,
            file_name: search.origin().file_name.clone(),
            program: program.to_owned(),
            proposal: Some(document.to_owned()),
            name: proposal.name.clone(),
            description: proposal.description.clone(),
            parents: self.parents.iter().map(commit).collect(),
            trailers,
            epoch: search.origin().epoch,
        }
    }
}

/// The archive's form of the seed program, without proposal and parents.
pub fn new_seed(program: &str, file_name: &str, epoch: i64) -> NewCandidate {
    NewCandidate {
        number: CandidateId::SEED.0,
        file_name: file_name.to_owned(),
        program: program.to_owned(),
        proposal: None,
        name: "seed".to_owned(),
        description: "The program that the run started from.".to_owned(),
        parents: Vec::new(),
        trailers: vec![("Candidate", CandidateId::SEED.to_string())],
        epoch,
    }
}

/// The archive's form of a candidate, from the journal.
///
/// # Errors
/// The program can no longer be derived.
pub fn archived(search: &Search, programs: &Programs, candidate: CandidateId) -> Result<NewCandidate, ProgramsError> {
    let started = search.origin();
    let Some(created) = programs.created(candidate)? else {
        return Ok(new_seed(&started.program, &started.file_name, started.epoch));
    };
    let (program, document) = (programs.program(candidate)?, &created.proposal.0);
    let not_derived = |reason: String| ProgramsError::NotDerived { candidate, reason };
    let parent = programs.program(created.parents[0])?;
    let (proposal, _) = derive(&parent, document).map_err(|reason| not_derived(reason.to_string()))?;
    let proposer = search.candidate(candidate).and_then(|known| known.proposer);
    let descent = Descent { candidate, parents: &created.parents, proposer };
    Ok(descent.new_candidate(search, &proposal, &program, document))
}
