//! Derive: from a parent and a document to a child program. The one way to a candidate, for live runs and replay alike.

use crate::archive::{NewCandidate, Repository};
use crate::edit::proposal::Proposal;
use crate::proposer::{normalised, size};
use crate::search::Search;
use crate::values::candidate::{BlobId, CandidateId, CommitId};
use crate::values::event::{Declined, Proposer};

/// A child program and the proposal that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Derived {
    /// The document, read.
    pub proposal: Proposal,
    /// The child program.
    pub program: String,
}

/// Applies a document, as received, to the program of its parent.
///
/// # Errors
/// Why it makes no program.
pub fn derive(parent: &str, document: &[u8]) -> Result<Derived, Declined> {
    let unreadable = |error: String| Declined::Unreadable { error };
    let text = std::str::from_utf8(document).map_err(|error| unreadable(error.to_string()))?;
    let proposal = Proposal::parse(text).map_err(|error| unreadable(error.to_string()))?;
    let program = proposal.edit.apply(parent).map_err(|mismatch| Declined::DoesNotApply { mismatch })?;
    Ok(Derived { proposal, program })
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
    let derived = derive(parent, document)?;
    if let Some(of) = search.seen(&Repository::blob_id(derived.program.as_bytes())) {
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
    (Repository::blob_id(normal.as_bytes()), size(&normal))
}

/// What of a candidate goes into its commit beside its program and proposal.
#[derive(Clone, Debug)]
pub struct Descent<'a> {
    /// Its number.
    pub candidate: CandidateId,
    /// What it is an edit of.
    pub parents: &'a [(CandidateId, CommitId)],
    /// Where its proposal came from; `None` for the seed program.
    pub proposer: Option<Proposer>,
    /// File name of the program.
    pub file_name: &'a str,
    /// Unix time that commit times count from.
    pub epoch: i64,
}

impl Descent<'_> {
    /// Hands `commit` the candidate as the archive takes it. The same input always gives the same commit.
    pub fn as_new<T>(
        &self,
        name: &str,
        description: &str,
        program: &str,
        document: Option<&[u8]>,
        commit: impl FnOnce(&NewCandidate<'_>) -> T,
    ) -> T {
        let parents: Vec<CommitId> = self.parents.iter().map(|(_, commit)| *commit).collect();
        let mut trailers = vec![("Candidate", self.candidate.to_string())];
        trailers.extend(self.parents.iter().map(|(parent, _)| ("Parent", parent.to_string())));
        trailers.extend(self.proposer.map(|proposer| ("Proposer", proposer.to_string())));
        commit(&NewCandidate {
            number: self.candidate.0,
            file_name: self.file_name,
            program,
            proposal: document,
            name,
            description,
            parents: &parents,
            trailers: &trailers,
            epoch: self.epoch,
        })
    }

    /// The seed program's commit: no proposal, no parents.
    pub fn as_seed<T>(&self, program: &str, commit: impl FnOnce(&NewCandidate<'_>) -> T) -> T {
        self.as_new("seed", "The program that the run started from.", program, None, commit)
    }
}
