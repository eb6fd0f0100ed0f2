//! Derive: from a parent and a document to a child program. The one way to a candidate, for live runs and replay alike.

use crate::archive::programs::derive;
use crate::archive::{NewCandidate, Programs, ProgramsError, blob_id};
use crate::edit::proposal::Proposal;
use crate::proposer::{normalised, size};
use crate::search::Search;
use crate::values::candidate::{BlobId, CandidateId};
use crate::values::event::{Declined, Proposer};

/// A child program and the proposal that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// The document, read.
    pub proposal: Proposal,
    /// The child program.
    pub program: String,
}

/// A program that nobody has seen before.
#[derive(Clone, Debug, PartialEq)]
pub struct Novel {
    /// The program and its proposal.
    pub derived: Derived,
    /// Id of the program without what makes no difference to it.
    pub normalised: BlobId,
    /// How many tokens it has then.
    pub size: u64,
}

/// What a document makes of its parent, of all that `search` has seen.
///
/// # Errors
/// Why it makes no candidate.
pub fn novel(search: &Search, parent: &str, document: &[u8]) -> Result<Novel, Declined> {
    let (proposal, program) = derive(parent, document)?;
    let derived = Derived { proposal, program };
    if let Some(of) = search.seen(&blob_id(derived.program.as_bytes())) {
        return Err(Declined::Duplicate { of });
    }
    let (normalised, size) = normal_form(&derived.program);
    match search.seen_normalised(&normalised) {
        Some(of) => Err(Declined::NotNovel { of }),
        None => Ok(Novel { derived, normalised, size }),
    }
}

/// The id of a program without what makes no difference to it, and how many tokens are left then.
pub fn normal_form(program: &str) -> (BlobId, u64) {
    let normal = normalised(program);
    (blob_id(normal.as_bytes()), size(&normal))
}

/// What of a candidate goes into its commit beside its program and proposal.
#[derive(Clone, Debug)]
pub struct Descent<'a> {
    /// Its number.
    pub candidate: CandidateId,
    /// What it is an edit of.
    pub parents: &'a [CandidateId],
    /// Where its proposal came from; `None` for the seed program.
    pub proposer: Option<Proposer>,
}

impl Descent<'_> {
    /// The candidate as the archive takes it. Equal input gives the same commit.
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

/// The seed program as the archive takes it: no proposal, no parents.
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

/// A candidate of a run as the archive takes it, made again from its journal.
///
/// # Errors
/// A program that cannot be derived any more.
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
