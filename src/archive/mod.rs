//! Archive: a bare git repository in which every candidate of a run is a commit. It is a view: all of it is made from the
//! journal, with the same ids, and made again when it is lost.
//!
//! The bytes of every object are made by pure functions ([`candidate`], `kept`, `front`, `notes`), so that the id of a
//! candidate's commit depends on the candidate alone and replay can tell it without an archive. [`programs`] derives the
//! programs from the journal. Only `object`, `id`, `store` and their like name git2.
//!
#![doc = include_str!("../cli/help/archive.md")]

pub mod id;
mod object;
mod error;
pub mod candidate;
mod front;
mod notes;
mod kept;
mod store;
pub mod programs;
pub mod note;
pub mod refs;
pub mod writer;
pub mod check;

pub use candidate::{CandidateIds, NewCandidate, PROPOSAL_FILE, blob_id};
pub use error::ArchiveError;
pub use id::{BlobId, CommitId, NotAnId, TreeId};
pub use programs::{Programs, ProgramsError};
pub use refs::Refs;
pub use store::Archive;
pub use writer::Writer;
