//! Propose: has the chosen proposer draw a proposal, for live runs and replay alike.

use packevolve_contract::stream::{Purpose, stream};

use crate::candidate::CandidateId;
use crate::event::{Proposer, Selection};
use crate::proposer::mutate;
use crate::repository::{Repository, RepositoryError};
use crate::search::Search;

/// The document that comes of a selection; `None` if its proposer has none. `program` gives the programs of candidates.
///
/// # Errors
/// What keeps the archive from being read.
pub fn propose<E: From<RepositoryError>>(
    search: &Search,
    repository: &Repository,
    attempt: u64,
    selection: &Selection,
    program: impl Fn(CandidateId) -> Result<String, E>,
) -> Result<Option<Vec<u8>>, E> {
    let started = search.started();
    let mut rng = stream(started.settings.rng_seed, attempt, Purpose::Proposal);
    let seen = |program: &str| search.seen(&Repository::blob_id(program.as_bytes())).is_some();
    let proposal = match selection.proposer {
        Proposer::Corpus(place) => return Ok(Some(repository.read_blob(started.corpus[place].proposal)?)),
        Proposer::Mutate => mutate::propose(&program(selection.parent)?, &mut rng, &seen),
        Proposer::Compose | Proposer::Cross => None,
    };
    Ok(proposal.map(|proposal| proposal.to_string().into_bytes()))
}
