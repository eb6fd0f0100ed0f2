//! Journal errors: what can be wrong with a journal, each naming the file and, where there is one, the line.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::values::error_kind::{Classify, ErrorKind};

/// Why a journal cannot be written or read. Lines count from one.
#[derive(Debug, Error)]
pub enum JournalError {
    /// A new run was asked for where one is.
    #[error("{path}: a journal is already there")]
    Exists {
        /// The journal.
        path: PathBuf,
    },
    /// Nothing is there.
    #[error("{path}: no such journal")]
    Missing {
        /// The journal.
        path: PathBuf,
    },
    /// Another process holds the lock.
    #[error("{path}: another packevolve is working on this run{}", process.map_or(String::new(), |id| format!(": process {id}")))]
    InUse {
        path: PathBuf,
        /// The other process, if it runs on this machine.
        process: Option<u32>,
    },
    /// The operating system said no.
    #[error("{path}: cannot {doing} it")]
    Io {
        /// The journal, or its folder.
        path: PathBuf,
        /// What was tried, as a verb.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Written by another version of this program.
    #[error(
        "{path}:{line}: the journal has version {version}, and this packevolve reads version {}",
        crate::journal::line::VERSION
    )]
    OtherVersion {
        /// The journal.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The version that the line carries.
        version: u64,
    },
    /// Bytes that are no text.
    #[error("{path}:{line}: line is not UTF-8: the journal was changed or is damaged here")]
    NotUtf8 {
        /// The journal.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// Text that is no JSON.
    #[error("{path}:{line}: line is not JSON: the journal was changed or is damaged here")]
    NotJson {
        /// The journal.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The digest does not fit the bytes of the line and the line before.
    #[error("{path}:{line}: digest is wrong: this line was changed after it was written, or the line before it")]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// A line is not where it was written.
    #[error("{path}:{line}: seq is {found} where {expected} belongs: lines are missing, repeated or out of order")]
    OutOfOrder {
        /// The journal.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The sequence number that belongs there.
        expected: u64,
        /// The sequence number that is there.
        found: u64,
    },
    /// An intact line whose event this program does not know.
    #[error("{path}:{line}: unknown event")]
    UnknownEvent {
        /// The journal.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A journal that is not what it was when it was read before.
    #[error("{path}: no event at byte {offset}, where one was: the journal was changed meanwhile")]
    Changed {
        /// The journal.
        path: PathBuf,
        /// Where the line was.
        offset: u64,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A line of a length that no event has.
    #[error("{path}:{line}: line is longer than {} MiB", crate::journal::line::MAX_LINE >> 20)]
    TooLong {
        /// The journal.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// An event that would not read back; nothing of it was written.
    #[error("{path}: event cannot be written so that it reads back")]
    Unwritable {
        /// The journal.
        path: PathBuf,
        /// What the (de)serialiser says.
        source: serde_json::Error,
    },
    /// An append after one that failed.
    #[error("{path}: an earlier append failed, so nothing more is written")]
    Broken {
        /// The journal.
        path: PathBuf,
    },
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
    /// The line that is not as it was written, if the journal was changed or is damaged.
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
