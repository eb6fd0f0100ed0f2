//! The folder of a run, and the search for a run by its name.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::archive::ArchiveError;
use crate::journal::exchanges::ExchangeError;
use crate::journal::{self, JournalError};
use crate::values::candidate::CandidateId;
use crate::values::error_kind::{Classify, ErrorKind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder(pub(super) PathBuf);

#[derive(Debug, Error)]
pub enum RunError {
    #[error("{} is not a run folder: it has no journal.jsonl", .0.display())]
    NotARun(PathBuf),
    #[error("{}: this run was never started", .0.display())]
    NeverBegan(PathBuf),
    #[error("{0:?} cannot be the name of a run")]
    BadName(String),
    #[error("there are no runs in {}", .0.display())]
    NoRuns(PathBuf),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error("{}: the journal is empty", .0.display())]
    Empty(PathBuf),
    #[error("{}: event {seq} contradicts the events before it: {reason}", path.display())]
    Impossible { path: PathBuf, seq: u64, reason: String },
    #[error("no candidate {wanted:?} in this run: {count} candidates, 0 to {}", count - 1)]
    NoCandidate { wanted: String, count: usize, similar: Option<String> },
    #[error("several candidates fit {wanted:?}")]
    Ambiguous { wanted: String, candidates: Vec<CandidateId> },
    #[error("this run has no best candidate: nothing is measured yet")]
    NoBest,
}

impl Classify for RunError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Journal(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Exchange(error) => error.kind(),
            Self::NotARun(_)
            | Self::NeverBegan(_)
            | Self::BadName(_)
            | Self::NoRuns(_)
            | Self::Empty(_)
            | Self::Impossible { .. }
            | Self::NoCandidate { .. }
            | Self::Ambiguous { .. }
            | Self::NoBest => ErrorKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Journal(error) => return error.hint(),
            Self::Archive(error) => return error.hint(),
            Self::Exchange(error) => return error.hint(),
            Self::NeverBegan(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                format!("`packevolve evolve --run {}` starts it", name.display())
            }
            Self::BadName(_) => "a name is one folder below the folder of runs".to_owned(),
            Self::NoRuns(_) => "`packevolve evolve` starts one, --run names a run elsewhere".to_owned(),
            Self::Empty(_) => "this run was never started: remove its folder".to_owned(),
            Self::NoCandidate { similar, .. } => format!("did you mean `{}`?", similar.as_ref()?),
            Self::Ambiguous { candidates, .. } => {
                let numbers: Vec<String> = candidates.iter().map(ToString::to_string).collect();
                format!("use a number: {}", numbers.join(", "))
            }
            Self::NotARun(_) | Self::Impossible { .. } | Self::NoBest => return None,
        })
    }
}

impl RunFolder {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder of a new run of this name.
    ///
    /// # Errors
    /// The name is not a plain folder name.
    pub fn named(runs: &Path, name: &str) -> Result<Self, RunError> {
        if matches!(name, "" | "." | "..") || name.contains('/') {
            return Err(RunError::BadName(name.to_owned()));
        }
        Ok(Self(runs.join(name)))
    }

    /// Finds a run: a folder, or a name in the folder of runs.
    ///
    /// # Errors
    /// Neither is the folder of a run.
    pub fn find(runs: &Path, name: &str) -> Result<Self, RunError> {
        let places = [PathBuf::from(name), runs.join(name)];
        let found = places.iter().find(|path| path.join("journal.jsonl").is_file());
        if let Some(found) = found {
            return Ok(Self(found.clone()));
        }
        match places.into_iter().map(Self).find(Self::ended_before_it_began) {
            Some(folder) => Err(RunError::NeverBegan(folder.0)),
            None => Err(RunError::NotARun(PathBuf::from(name))),
        }
    }

    /// The run with the latest change.
    ///
    /// # Errors
    /// There is no run.
    pub fn newest(runs: &Path) -> Result<Self, RunError> {
        let folders = std::fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| Self(entry.path()));
        let changed = |folder: &Self| folder.journal().metadata().and_then(|data| data.modified()).ok();
        let dated = folders.filter_map(|folder| changed(&folder).map(|time| (time, folder)));
        let newest = dated.max_by_key(|(time, folder)| (*time, folder.0.clone()));
        newest.map(|(_, folder)| folder).ok_or_else(|| RunError::NoRuns(runs.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The name of the run, for people.
    pub fn name(&self) -> String {
        let folder = std::path::absolute(&self.0).unwrap_or_else(|_| self.0.clone());
        folder.file_name().map_or("?".into(), |name| name.to_string_lossy().into_owned())
    }

    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    pub fn archive(&self) -> PathBuf {
        self.0.join("archive.git")
    }

    /// Creating this file stops the run in good order.
    pub fn stop_file(&self) -> PathBuf {
        self.0.join("stop")
    }

    /// Requests to language models and their replies.
    pub fn exchanges(&self) -> PathBuf {
        self.0.join("exchanges.jsonl")
    }

    /// Whether a run can start here: the folder is empty, or its run died before its first event.
    pub fn is_free(&self) -> bool {
        match std::fs::read_dir(&self.0) {
            Ok(_) if self.journal().exists() => false,
            Ok(mut inside) => self.ended_before_it_began() || inside.next().is_none(),
            Err(_) => std::fs::symlink_metadata(&self.0).is_err(),
        }
    }

    /// Whether a run here died before its first event.
    fn ended_before_it_began(&self) -> bool {
        !self.journal().exists() && journal::draft(&self.journal()).is_file()
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use crate::values::event::Event;

    #[test]
    fn a_run_begins_where_nothing_is_or_where_one_did_not_begin() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::named(runs.path(), "x").unwrap();
        assert!(folder.is_free());
        std::fs::create_dir(folder.path()).unwrap();
        assert!(folder.is_free());
        std::fs::create_dir(folder.archive()).unwrap();
        assert!(!folder.is_free(), "an archive without its journal may belong to a run");
        let draft = Journal::<Event>::create(&folder.journal()).unwrap();
        assert!(folder.is_free());
        let error = RunFolder::find(runs.path(), "x").unwrap_err();
        assert!(error.to_string().ends_with("this run was never started"), "{error}");
        assert_eq!(error.hint().as_deref(), Some("`packevolve evolve --run x` starts it"));
        drop(draft.begin(&Event::RunResumed { candidates: 1 }).unwrap());
        assert!(!folder.is_free());
        std::os::unix::fs::symlink("nowhere", runs.path().join("link")).unwrap();
        assert!(!RunFolder::named(runs.path(), "link").unwrap().is_free());
    }

    #[test]
    fn a_new_run_lies_in_the_folder_of_runs_and_nowhere_else() {
        let runs = Path::new("runs");
        for name in ["", ".", "..", "/", "a/b", "../a", "a/"] {
            let error = RunFolder::named(runs, name).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{name:?} cannot be the name")), "{error}");
        }
        assert_eq!(RunFolder::named(runs, "a.b").unwrap().path(), Path::new("runs/a.b"));
    }
}
