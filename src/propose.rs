//! Propose: has the chosen proposer draw a proposal, for live runs and replay alike.

use packevolve_contract::stream::{Purpose, stream};
use thiserror::Error;

use crate::candidate::CandidateId;
use crate::event::{Proposer, RunStarted, Selection};
use crate::proposer::catalogue::{Catalogue, CatalogueError};
use crate::proposer::cross::Mate;
use crate::proposer::{compose, cross, mutate};
use crate::repository::{Repository, RepositoryError};
use crate::search::Search;

/// What keeps a run's proposers from being asked.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum ProposeError {
    #[error(transparent)]
    Archive(#[from] RepositoryError),
    #[error("the building blocks of the run cannot be read")]
    Catalogue(#[from] CatalogueError),
}

/// The proposers of a run that need nothing but what its archive holds.
#[derive(Debug)]
pub struct Proposers {
    catalogue: Option<Catalogue>,
}

impl Proposers {
    /// Those of a run, with its building blocks as they were when it started.
    ///
    /// # Errors
    /// An archive that lacks them.
    pub fn open(started: &RunStarted, repository: &Repository) -> Result<Self, ProposeError> {
        let Some(id) = started.catalogue else { return Ok(Self { catalogue: None }) };
        let bytes = repository.read_blob(id)?;
        Ok(Self { catalogue: Some(Catalogue::parse(&String::from_utf8_lossy(&bytes))?) })
    }

    /// The document that comes of a selection; `None` if its proposer has none. `program` gives candidates' programs.
    ///
    /// # Errors
    /// What keeps the archive from being read.
    pub fn draw<E: From<RepositoryError>>(
        &self,
        search: &Search,
        repository: &Repository,
        (attempt, selection): (u64, &Selection),
        program: impl Fn(CandidateId) -> Result<String, E>,
    ) -> Result<Option<Vec<u8>>, E> {
        let started = search.started();
        if let Proposer::Corpus(place) = selection.proposer {
            return Ok(Some(repository.read_blob(started.corpus[place].proposal)?));
        }
        let parent = program(selection.parent)?;
        let mut rng = stream(started.settings.rng_seed, attempt, Purpose::Proposal);
        let seen = |program: &str| search.seen(&Repository::blob_id(program.as_bytes())).is_some();
        let proposal = match selection.proposer {
            Proposer::Mutate => mutate::propose(&parent, &mut rng, &seen),
            Proposer::Compose => {
                let catalogue = self.catalogue.as_ref();
                catalogue.and_then(|catalogue| compose::propose(&parent, catalogue, &mut rng, &seen))
            }
            Proposer::Cross => {
                let Some(mate) = selection.inspirations.first().copied() else { return Ok(None) };
                // Where one comes from the other there is nothing to merge.
                let ancestor = search.common_ancestor(selection.parent, mate);
                let ancestor = ancestor.filter(|ancestor| ![selection.parent, mate].contains(ancestor));
                let (label, text, ancestor) = (mate.to_string(), program(mate)?, ancestor.map(&program).transpose()?);
                let mate = Mate { label: &label, program: &text, ancestor: ancestor.as_deref() };
                cross::propose(&parent, mate, &mut rng, &seen)
            }
            // What a model proposes comes of its answer.
            Proposer::Corpus(_) | Proposer::Model(_) => None,
        };
        Ok(proposal.map(|proposal| proposal.to_string().into_bytes()))
    }
}
