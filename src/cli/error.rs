//! Errors as the command line reports them.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::values::candidate::CandidateId;
use crate::values::error_kind::{Classify, ErrorKind};

/// The error that ends a command: the cause first, then notes and hints.
#[derive(Debug)]
pub struct CommandError {
    error: Box<dyn Error>,
    kind: ErrorKind,
    notes: Vec<String>,
    hints: Vec<String>,
}

impl<E: Classify + 'static> From<E> for CommandError {
    fn from(error: E) -> Self {
        let (kind, hints) = (error.kind(), error.hint().into_iter().collect());
        Self { error: Box::new(error), kind, notes: Vec::new(), hints }
    }
}

impl CommandError {
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn with_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Replaces the hint of the error.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints = vec![hint.into()];
        self
    }

    pub fn is<E: Error + 'static>(&self, is: impl FnOnce(&E) -> bool) -> bool {
        self.error.downcast_ref().is_some_and(is)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            write!(f, "\n  because: {error}")?;
            cause = error.source();
        }
        self.notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))?;
        self.hints.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}

/// What commands find wrong by themselves.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    #[error("candidate {candidate} must not be deployed, its answers are inconsistent: {inconsistency}")]
    Inconsistent { candidate: CandidateId, inconsistency: String },
    #[error("there are no loads at {}", .0.display())]
    NoLoads(PathBuf),
    #[error("SOURCE_DATE_EPOCH is {0:?}, not a number of seconds from 0 to the year 9999")]
    Epoch(String),
    #[error("{} cannot be compared with: it {rejection}", path.display())]
    BadBaseline { path: PathBuf, rejection: String },
    #[error("not reproduced: the last line of {} is unfinished", .0.display())]
    Torn(PathBuf),
    #[error("cannot write the log to {}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

impl Classify for CliError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Failure,
                _ => ErrorKind::Input,
            },
            Self::Log { .. } | Self::Runtime(_) => ErrorKind::Failure,
            Self::Torn(_) => ErrorKind::Diverged,
            Self::Read { .. }
            | Self::NotText(_)
            | Self::Exists(_)
            | Self::NotEmpty(_)
            | Self::Inconsistent { .. }
            | Self::NoLoads(_)
            | Self::Epoch(_)
            | Self::BadBaseline { .. } => ErrorKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some("--force replaces it".to_owned()),
            Self::Inconsistent { .. } => Some("--force writes it all the same".to_owned()),
            Self::NotEmpty(_) => Some("name a new folder".to_owned()),
            Self::Torn(_) => Some("if the run is live or was cut off, `packevolve resume` repairs it".to_owned()),
            _ => None,
        }
    }
}
