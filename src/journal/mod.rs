//! Journal: the events of a run, one JSON object a line, appended, synced and chained by digests. It is the truth of the
//! run: what is not in it did not happen.
//!
//! [`mod@line`] says what a line is, `writer` puts lines on the disk, [`reader`] and `scan` read them back, [`exchanges`]
//! keeps the bodies that were sent to language models and received from them.
//!
#![doc = include_str!("../cli/help/record.md")]

pub mod line;
pub mod error;
pub mod reader;
mod scan;
pub mod live;
mod writer;
pub mod exchanges;

pub use error::JournalError;
pub use line::{Entry, VERSION};
pub use live::is_live;
pub use reader::{Events, Reader, TornLine};
pub use scan::{Read, read, read_each};
pub use writer::{Appended, Draft, Journal, draft};
