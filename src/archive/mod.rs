//! The archive is a bare git repository in which every candidate of a run is a commit. It is a view: the journal
//! determines all of it, with the same ids, and a lost archive is made again.
//!
//! Pure functions ([`candidate`], `kept`, `front`, `notes`) make the bytes of every object, so that the id of a
//! candidate's commit depends on the candidate alone and replay computes it without an archive. [`programs`] derives
//! the programs from the journal. Only `object`, `id`, `store` and their like use git2.
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
pub use error::{ArchiveError, ProgramsError};
pub use id::{BlobId, CommitId, NotAnId, TreeId};
pub use programs::Programs;
pub use refs::Refs;
pub use store::Archive;
pub use writer::Writer;
