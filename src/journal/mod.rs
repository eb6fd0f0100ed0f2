//! The journal holds the events of a run, one JSON object a line, appended, synced and chained by digests. Only what is
//! in the journal happened.
//!
//! [`mod@line`] defines a line, `writer` appends lines, [`reader`] and `scan` read them, and [`exchanges`] keeps the
//! raw requests to language models with their replies.
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
