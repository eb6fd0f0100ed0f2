//! Errors of journals, with the file and the line.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::values::error_kind::{Classify, ErrorKind};

/// Lines count from one.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A new journal would replace an existing one.
    #[error("{path}: a journal is already there")]
    Exists { path: PathBuf },
    #[error("{path}: no such journal")]
    Missing { path: PathBuf },
    /// Another process holds the lock.
    #[error("{path}: another packevolve is working on this run{}", process.map_or(String::new(), |id| format!(": process {id}")))]
    InUse {
        path: PathBuf,
        /// The other process, if it runs on this machine.
        process: Option<u32>,
    },
    #[error("{path}: cannot {doing} it")]
    Io {
        /// The journal, or its folder.
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
    /// The line is of another version.
    #[error(
        "{path}:{line}: the journal has version {version}, and this packevolve reads version {}",
        crate::journal::line::VERSION
    )]
    OtherVersion {
        path: PathBuf,
        line: u64,
        /// The version that the line carries.
        version: u64,
    },
    #[error("{path}:{line}: line is not UTF-8: the journal was changed or is damaged here")]
    NotUtf8 { path: PathBuf, line: u64 },
    #[error("{path}:{line}: line is not JSON: the journal was changed or is damaged here")]
    NotJson { path: PathBuf, line: u64, source: serde_json::Error },
    /// The digest does not match the line and the digest before it.
    #[error("{path}:{line}: digest is wrong: this line was changed after it was written, or the line before it")]
    Damaged { path: PathBuf, line: u64 },
    /// The line is out of order.
    #[error("{path}:{line}: seq is {found} where {expected} belongs: lines are missing, repeated or out of order")]
    OutOfOrder {
        path: PathBuf,
        line: u64,
        /// The expected sequence number.
        expected: u64,
        /// The sequence number in the line.
        found: u64,
    },
    /// The line is intact, but its event is unknown.
    #[error("{path}:{line}: unknown event")]
    UnknownEvent { path: PathBuf, line: u64, source: serde_json::Error },
    /// The journal changed after it was read.
    #[error("{path}: no event at byte {offset}, where one was: the journal was changed meanwhile")]
    Changed {
        path: PathBuf,
        /// Where the line was.
        offset: u64,
        source: serde_json::Error,
    },
    /// The line is longer than any event.
    #[error("{path}:{line}: line is longer than {} MiB", crate::journal::line::MAX_LINE >> 20)]
    TooLong { path: PathBuf, line: u64 },
    /// The event would not read back, so nothing was written.
    #[error("{path}: event cannot be written so that it reads back")]
    Unwritable {
        path: PathBuf,
        /// What the (de)serialiser says.
        source: serde_json::Error,
    },
    /// An earlier append failed.
    #[error("{path}: an earlier append failed, so nothing more is written")]
    Broken { path: PathBuf },
}

impl Classify for JournalError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Unwritable { .. } | Self::Broken { .. } => ErrorKind::Failure,
            Self::Exists { .. }
            | Self::Missing { .. }
            | Self::InUse { .. }
            | Self::OtherVersion { .. }
            | Self::NotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::Damaged { .. }
            | Self::OutOfOrder { .. }
            | Self::UnknownEvent { .. }
            | Self::Changed { .. }
            | Self::TooLong { .. } => ErrorKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing { .. } => "a run folder holds journal.jsonl",
            Self::OtherVersion { .. } | Self::UnknownEvent { .. } => {
                "use the version of packevolve that wrote this run"
            }
            Self::Broken { .. } => "`packevolve resume` continues the run",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl JournalError {
    /// The damaged line, if the journal is damaged.
    pub fn damaged_line(&self) -> Option<u64> {
        match self {
            Self::NotUtf8 { line, .. }
            | Self::NotJson { line, .. }
            | Self::Damaged { line, .. }
            | Self::OutOfOrder { line, .. }
            | Self::TooLong { line, .. } => Some(*line),
            _ => None,
        }
    }

    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }

    pub(super) fn opening(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            _ => Self::Io { path, doing: "open", source },
        }
    }
}
