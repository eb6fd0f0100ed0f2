//! Archive: a bare git repository in which every candidate of a run is a commit. The only door to git2.
//!
#![doc = include_str!("../cli/help/archive.md")]

pub mod id;
mod object;
mod error;
pub mod candidate;
mod front;
mod notes;
pub mod kept;
mod layout;
mod loose;
mod ahead;
mod handle;
mod pack;
mod repository;
mod survey;
pub mod note;
pub mod population_refs;

pub use candidate::{NewCandidate, PROPOSAL_FILE, Written};
pub use error::RepositoryError;
pub use id::{BlobId, CommitId, NotAnId, TreeId};
pub use kept::Kept;
pub use object::{CommitFacts, Role};
pub use repository::Repository;
pub use survey::{Leftover, Survey};
