//! Archive errors: what can be wrong with an archive, each naming the path or the object.

use std::io;
use std::path::{Path, PathBuf};

use git2::{ErrorClass, Oid};
use thiserror::Error;

use crate::values::error_kind::{Classify, ErrorKind};

/// Why the archive cannot be written or read. Object ids are full, as git prints them.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Not a bare git repository.
    #[error("{path}: not an archive (a bare git repository)")]
    NotAnArchive {
        /// The path that was to be one.
        path: PathBuf,
        /// What git says.
        source: git2::Error,
    },
    /// A git repository with settings that cannot be read, the user's own included: git2 looks at them before it can be
    /// told not to.
    #[error("{path}: cannot open the archive: git settings are malformed")]
    Settings {
        /// The archive.
        path: PathBuf,
        /// What git says; it names the file and the line.
        source: git2::Error,
    },
    /// The operating system refused.
    #[error("{path}: cannot {doing}")]
    Io {
        /// The archive, or a file in it.
        path: PathBuf,
        /// What was tried, as a verb with its object.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Git refused.
    #[error("{path}: cannot {doing}")]
    Git {
        /// The archive.
        path: PathBuf,
        /// What was tried, as a verb with its object.
        doing: &'static str,
        /// What git says.
        source: git2::Error,
    },
    /// A ref could not be read or moved.
    #[error("{path}: cannot read or move {name}")]
    Ref {
        /// The archive.
        path: PathBuf,
        /// The ref.
        name: String,
        /// What git says.
        source: git2::Error,
    },
    /// An object is not in the archive.
    #[error("the archive has no object {id}")]
    Missing {
        /// The object.
        id: ObjectId,
    },
    /// An object cannot be read, or is not what it was when it was written.
    #[error("object {id} is damaged: {reason}")]
    Damaged {
        /// The object.
        id: ObjectId,
        /// What is wrong with it.
        reason: String,
    },
    /// A program's file name that git or the archive reserves, or that would not survive every file system.
    #[error("{name:?} cannot be a program's file name in the archive")]
    FileName {
        /// The name.
        name: String,
    },
    /// A time before 1970 or beyond what git holds.
    #[error("epoch {epoch} and candidate number {number} give no time that git can hold")]
    CommitTime {
        /// The run's epoch.
        epoch: i64,
        /// The candidate's number.
        number: u64,
    },
}

/// The id of an object of any kind, in errors.
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
            Self::NotAnArchive { .. } | Self::Settings { .. } | Self::FileName { .. } | Self::CommitTime { .. } => {
                ErrorKind::Input
            }
            Self::Io { .. } | Self::Git { .. } | Self::Ref { .. } | Self::Missing { .. } | Self::Damaged { .. } => {
                ErrorKind::Failure
            }
        }
    }
}

impl ArchiveError {
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
        move |source| match source.class() {
            ErrorClass::Config => Self::Settings { path, source },
            _ => Self::NotAnArchive { path, source },
        }
    }
}
