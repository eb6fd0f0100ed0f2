//! Survey: all that an archive holds as git sees it, each object read and held against its id, and what crashes left beside
//! the objects. Only reads.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};

use crate::archive::ahead::Left;
use crate::archive::error::RepositoryError;
use crate::archive::id::{BlobId, CommitId, GitId};
use crate::archive::kept::Kept;
use crate::archive::layout;
use crate::archive::object::{Role, children};
use crate::archive::repository::{KEPT, Repository, ref_files};

/// What was found from the refs of an archive.
#[derive(Debug, Default)]
pub struct Survey {
    sound: HashSet<Oid>,
    /// What is reachable and not there, or not what it was.
    pub flaws: Vec<RepositoryError>,
}

impl Survey {
    /// How many objects are reachable and sound.
    pub fn objects(&self) -> usize {
        self.sound.len()
    }

    /// Whether a ref leads to this commit, which is sound.
    pub fn has_commit(&self, id: CommitId) -> bool {
        self.sound.contains(&id.oid())
    }

    /// Whether a ref leads to this blob, which is sound.
    pub fn has_blob(&self, id: BlobId) -> bool {
        self.sound.contains(&id.oid())
    }
}

/// What a crash or a power loss left in an archive that the next one to write to it puts in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A lock of a ref, in this file.
    Lock(PathBuf),
    /// A ref without its content, in this file.
    TornRef(PathBuf),
    /// A file of an object that was not finished.
    UnfinishedFile(PathBuf),
    /// A pack that was not finished, in this folder.
    UnfinishedPack(PathBuf),
    /// The log of objects ends in one that was not finished.
    UnfinishedRecord(PathBuf),
    /// An object whose file is missing or not whole; the log of objects has it.
    OnlyAhead(String),
}

impl Repository {
    /// Reads all that the refs lead to.
    ///
    /// # Errors
    /// Refs that cannot be read.
    pub fn survey(&self) -> Result<Survey, RepositoryError> {
        let mut survey = Survey::default();
        let mut left = self.tips()?;
        while let Some((id, kind)) = left.pop() {
            if survey.sound.contains(&id) {
                continue;
            }
            match self.read_stored(Role::Kept, id, kind) {
                Ok(bytes) => {
                    survey.sound.insert(id);
                    left.extend(children(kind, &bytes));
                }
                Err(flaw) => survey.flaws.push(flaw),
            }
        }
        Ok(survey)
    }

    /// What all refs name. A ref that was torn names nothing.
    fn tips(&self) -> Result<Vec<(Oid, ObjectType)>, RepositoryError> {
        let git = self.git.get();
        let references = git.references().map_err(self.unreadable("refs"))?;
        let named = references.filter_map(|reference| reference.ok()?.target());
        Ok(named.map(|id| (id, ObjectType::Commit)).collect())
    }

    /// Whether what is missing of a commit, its tree and its files is in the log of objects.
    pub fn is_ahead(&self, commit: CommitId) -> bool {
        self.files(commit)
            .is_ok_and(|files| files.iter().all(|(_, id)| self.read(Role::Kept, *id, ObjectType::Blob).is_ok()))
    }

    /// Checks a blob as git sees it.
    ///
    /// # Errors
    /// It is not there or not what it was.
    pub fn verify_blob(&self, id: BlobId) -> Result<(), RepositoryError> {
        self.read_stored(Role::Blob, id.oid(), ObjectType::Blob).map(drop)
    }

    /// What crashes left.
    ///
    /// # Errors
    /// A log of objects that cannot be read.
    pub fn leftovers(&self) -> Result<Vec<Leftover>, RepositoryError> {
        let refs = ref_files(&self.path);
        let locks = refs.iter().map(|path| path.with_added_extension("lock")).filter(|lock| lock.exists());
        let torn = refs.iter().filter(|path| layout::is_torn(path)).cloned();
        let mut all: Vec<Leftover> = locks.map(Leftover::Lock).chain(torn.map(Leftover::TornRef)).collect();
        all.extend(layout::unfinished(&self.path).into_iter().map(Leftover::UnfinishedFile));
        all.extend(layout::unfinished_pack(&self.path).map(Leftover::UnfinishedPack));
        for Left { path, objects, is_torn, .. } in Left::read(&self.path)? {
            all.extend(is_torn.then_some(Leftover::UnfinishedRecord(path)));
            let missing = objects.iter().filter(|object| self.read_stored(Role::Blob, object.id, object.kind).is_err());
            all.extend(missing.map(|object| Leftover::OnlyAhead(object.id.to_string())));
        }
        Ok(all)
    }

    /// The commit that keeps what was added to `kept`, and the one that the archive has, if its ref can be read.
    pub fn keeps(&self, kept: &Kept) -> (Option<CommitId>, Option<CommitId>) {
        (kept.draft().map(|(_, head)| head), self.target(KEPT).unwrap_or_default())
    }

    /// Locks of git that nobody but a person can remove, as another git may be at work.
    pub fn foreign_locks(&self) -> Vec<PathBuf> {
        let inside = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        inside(&self.path).filter(|path| path.extension().is_some_and(|extension| extension == "lock")).collect()
    }
}
