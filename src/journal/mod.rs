//! Journal: the events of a run, one JSON object a line, appended, synced and chained by digests.
//!
#![doc = include_str!("../cli/help/record.md")]

pub mod line;
pub mod error;
pub mod reader;
mod scan;
pub mod live;
mod writer;

pub use error::JournalError;
pub use line::{Digest, Entry, Place, VERSION};
pub use live::is_live;
pub use reader::{Reader, TornLine};
pub use scan::{Read, read, read_each};
pub use writer::*;
