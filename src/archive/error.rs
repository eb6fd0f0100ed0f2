//! Errors of archives, with the path or the object.

use std::io;
use std::path::{Path, PathBuf};

use git2::{ErrorClass, ErrorCode, Oid};
use thiserror::Error;

use crate::journal::JournalError;
use crate::values::candidate::CandidateId;
use crate::values::error_kind::{Classify, ErrorKind};

/// A program cannot be derived from the journal.
#[derive(Debug, Error)]
pub enum ProgramsError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal has changed.
    #[error("candidate {0} is not where the journal had it")]
    Moved(CandidateId),
    /// Its proposal does not apply to its parent.
    #[error("candidate {candidate} can no longer be derived from its proposal: {reason}")]
    NotDerived { candidate: CandidateId, reason: String },
}

impl Classify for ProgramsError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Journal(error) => error.kind(),
            Self::Moved(_) | Self::NotDerived { .. } => ErrorKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.hint(),
            Self::Moved(_) | Self::NotDerived { .. } => Some("`packevolve fsck` checks the whole record".to_owned()),
        }
    }
}

/// Object ids are full, as git prints them.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Not a bare git repository.
    #[error("{path}: not an archive (a bare git repository)")]
    NotAnArchive { path: PathBuf, source: git2::Error },
    /// A copy dropped empty folders; git keeps refs in one file once it has packed them.
    #[error("{path}: the archive has no refs/ folder, which a copy without empty folders loses")]
    NoRefs { path: PathBuf },
    /// Git can read it, libgit2 cannot.
    #[error("{path}: the archive is in a format of git that packevolve does not read")]
    Format { path: PathBuf, source: git2::Error },
    /// The operating system fails; nothing is known of the archive.
    #[error("{path}: cannot open the archive")]
    Open { path: PathBuf, source: git2::Error },
    /// The user's or the system's git settings cannot be read; git2 reads them on opening.
    #[error("{path}: cannot open the archive: git settings are malformed")]
    Settings {
        path: PathBuf,
        /// Names the file and the line.
        source: git2::Error,
    },
    #[error("{path}: cannot {doing}")]
    Io {
        /// The archive, or a file in it.
        path: PathBuf,
        /// The failed action, as a verb with its object.
        doing: &'static str,
        source: io::Error,
    },
    #[error("{path}: cannot {doing}")]
    Git {
        path: PathBuf,
        /// What was tried, as a verb with its object.
        doing: &'static str,
        source: git2::Error,
    },
    #[error("{path}: cannot read or move {name}")]
    Ref { path: PathBuf, name: String, source: git2::Error },
    /// An object is not in the archive.
    #[error("the archive has no object {id}")]
    Missing { id: ObjectId },
    /// An object cannot be read or has changed.
    #[error("object {id} is damaged: {reason}")]
    Damaged { id: ObjectId, reason: String },
    /// Git or the archive reserves the file name, or some file system would not keep it.
    #[error("{name:?} cannot be a program's file name in the archive")]
    FileName { name: String },
    /// The time is before 1970 or too large for git.
    #[error("epoch {epoch} and candidate number {number} give no time that git can hold")]
    CommitTime { epoch: i64, number: u64 },
    #[error(transparent)]
    Programs(#[from] ProgramsError),
}

/// The id of an object of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectId(Oid);

impl From<Oid> for ObjectId {
    fn from(oid: Oid) -> Self {
        Self(oid)
    }
}

impl std::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

impl Classify for ArchiveError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAnArchive { .. }
            | Self::NoRefs { .. }
            | Self::Format { .. }
            | Self::Settings { .. }
            | Self::FileName { .. }
            | Self::CommitTime { .. }
            | Self::Missing { .. }
            | Self::Damaged { .. } => ErrorKind::Input,
            Self::Ref { .. } if self.is_damage() => ErrorKind::Input,
            Self::Io { .. } | Self::Open { .. } | Self::Git { .. } | Self::Ref { .. } => ErrorKind::Failure,
            Self::Programs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Programs(error) => error.hint(),
            Self::Format { path, source } if source.message().contains("refstorage") => {
                let path = path.display();
                Some(format!("`git --git-dir {path} refs migrate --ref-format=files` makes it readable"))
            }
            Self::Format { path, .. } => {
                let path = path.display();
                Some(format!("move {path} away; `packevolve fsck --repair` makes the archive again from the journal"))
            }
            Self::NoRefs { .. } => Some("`packevolve fsck --repair` makes it".to_owned()),
            _ if self.is_damage() => Some("`packevolve fsck --repair` makes it again from the journal".to_owned()),
            _ => None,
        }
    }
}

impl ArchiveError {
    /// Whether the archive itself is damaged or gone, so that a new one in its place helps. A full or read-only disk and
    /// a lock are no damage.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::NotAnArchive { .. } | Self::NoRefs { .. } | Self::Missing { .. } | Self::Damaged { .. } => true,
            Self::Ref { source, .. } => source.class() != ErrorClass::Os && source.code() != ErrorCode::Locked,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Settings { .. }
            | Self::Format { .. }
            | Self::Open { .. }
            | Self::Git { .. }
            | Self::FileName { .. }
            | Self::CommitTime { .. }
            | Self::Programs(_) => false,
        }
    }

    /// Of the archive's own settings.
    pub(super) fn own_settings(path: &Path) -> impl FnOnce(git2::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.class() {
            ErrorClass::Os if source.code() != ErrorCode::NotFound => Self::Open { path, source },
            _ => Self::NotAnArchive { path, source },
        }
    }

    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }

    pub(super) fn git(path: &Path, doing: &'static str) -> impl FnOnce(git2::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Git { path, doing, source }
    }

    pub(super) fn opening(path: &Path) -> impl FnOnce(git2::Error) -> Self {
        let path = path.to_owned();
        let is_format = |message: &str| message.contains("unsupported extension") || message.contains("object format");
        move |source| match source.class() {
            ErrorClass::Config => Self::Settings { path, source },
            ErrorClass::Os if source.code() != ErrorCode::NotFound => Self::Open { path, source },
            _ if is_format(source.message()) => Self::Format { path, source },
            _ => Self::NotAnArchive { path, source },
        }
    }
}
