//! Repository: the archive of a run, a bare git repository in which every candidate is a commit.
//!
//! The only door to git2. The bytes of every object are made by pure functions ([`candidate`], [`kept`]), so that what
//! a candidate's commit is called depends on nothing but the candidate, and replay can tell it without an archive.
//! This file writes those bytes, reads them back and moves refs. Every read goes to the disk and checks what it finds
//! against the id: what was changed is an error that names the object and what it is to us, never content.
//!
//! The user's and the system's git settings have no say: only the repository's own file is read. Nothing here decides
//! what is written when; objects are on the disk when a call returns, refs are a view of the journal and may lag.

pub mod candidate;
pub mod id;
pub mod kept;

mod ahead;
mod error;
mod layout;
mod loose;
mod object;
mod pack;

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use git2::{ErrorCode, ObjectType, Oid};

pub use candidate::{NewCandidate, PROPOSAL_FILE, Written};
pub use error::RepositoryError;
pub use id::{BlobId, CommitId, NotAnId, TreeId};
pub use kept::Kept;
pub use object::{CommitFacts, Role};

use ahead::Ahead;
use id::GitId;
use object::{Object, tree_entries};
use pack::Packer;

/// What `best` names; HEAD points to it, so that a clone and a bare `git log` show the best program's lineage.
const BEST: &str = "refs/heads/best";
const KEPT: &str = "refs/packevolve/kept";

/// The archive of a run. It may move between threads but serves one at a time.
pub struct Repository {
    path: PathBuf,
    git: git2::Repository,
    /// What syncs objects, and what packs them; none if it was opened to be read.
    ahead: Option<RefCell<(Ahead, Packer)>>,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Repository {
    /// Makes an empty archive where nothing is; it appears whole or not at all.
    pub fn create(path: &Path) -> Result<Self, RepositoryError> {
        layout::create(path)?;
        Self::open_to_write(path)
    }

    /// Opens an archive to read it.
    pub fn open(path: &Path) -> Result<Self, RepositoryError> {
        Ok(Self { path: path.to_owned(), git: layout::open(path)?, ahead: None })
    }

    /// Opens an archive to go on writing, after whatever ended the process that wrote to it last. The caller holds the
    /// lock of the run.
    pub fn resume(path: &Path) -> Result<Self, RepositoryError> {
        // First of all a check that it is one: nothing is written into a folder of another kind.
        Self::open(path)?;
        layout::settle(path)?;
        layout::clear_locks(path, &[BEST, KEPT])?;
        Self::open_to_write(path)
    }

    /// What a crash may have kept from reaching its file is written again, unless the file is whole.
    fn open_to_write(path: &Path) -> Result<Self, RepositoryError> {
        pack::clear_drafts(path)?;
        let sealed = ahead::sealed(path)?;
        let (ahead, left) = Ahead::open(path)?;
        let mut packer = Packer::default();
        let repository = Self { path: path.to_owned(), git: layout::open(path)?, ahead: None };
        for object in sealed.iter().chain(&left) {
            if repository.read(Role::Blob, object.id, object.kind).is_err() {
                repository.discard(object.id)?;
                repository.write_file(object)?;
            }
        }
        // So that the log itself is there after a power loss.
        layout::sync(path).map_err(RepositoryError::io(path, "sync it"))?;
        packer.begin(path)?;
        Ok(Self { ahead: Some(RefCell::new((ahead, packer))), ..repository })
    }

    /// Where the archive is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a candidate: its files, then its commit, each synced. Writing the same again changes nothing and gives
    /// the same ids.
    pub fn commit_candidate(&self, new: &NewCandidate<'_>) -> Result<Written, RepositoryError> {
        let draft = new.draft()?;
        for parent in new.parents {
            self.require(Role::Parent, parent.oid())?;
        }
        self.write(&draft.objects)?;
        Ok(draft.written)
    }

    /// Writes bytes that the journal will name: evidence, a request, a reply, a proposal that made no program.
    pub fn blob(&self, bytes: &[u8]) -> Result<BlobId, RepositoryError> {
        let object = Object::blob(bytes.to_vec());
        self.write(std::slice::from_ref(&object))?;
        Ok(BlobId::from_oid(object.id))
    }

    /// The id that [`Repository::blob`] would give, without writing.
    pub fn blob_id(bytes: &[u8]) -> BlobId {
        BlobId::from_oid(Object::blob(bytes.to_vec()).id)
    }

    /// The bytes of a blob.
    pub fn read_blob(&self, id: BlobId) -> Result<Vec<u8>, RepositoryError> {
        self.read(Role::Blob, id.oid(), ObjectType::Blob)
    }

    /// The program of a candidate.
    pub fn program(&self, commit: CommitId, file_name: &str) -> Result<String, RepositoryError> {
        let role = Role::Program { commit };
        let Some(id) = self.entry(commit, file_name)? else {
            return Err(RepositoryError::NoSuchFile { commit, file: file_name.to_owned() });
        };
        String::from_utf8(self.read(role, id, ObjectType::Blob)?).map_err(|_| RepositoryError::Damaged {
            role,
            id: id.into(),
            reason: "it is not UTF-8".into(),
        })
    }

    /// The proposal of a candidate as it was received; none for the program that a run starts from.
    pub fn proposal(&self, commit: CommitId) -> Result<Option<Vec<u8>>, RepositoryError> {
        let Some(id) = self.entry(commit, PROPOSAL_FILE)? else { return Ok(None) };
        self.read(Role::Proposal { commit }, id, ObjectType::Blob).map(Some)
    }

    /// What a commit says about itself.
    pub fn commit_facts(&self, id: CommitId) -> Result<CommitFacts, RepositoryError> {
        let bytes = self.read(Role::Commit, id.oid(), ObjectType::Commit)?;
        CommitFacts::parse(&bytes).ok_or_else(|| unfit(Role::Commit, id.oid()))
    }

    /// Checks all that a candidate has in the archive: its commit, its tree and every file in it.
    pub fn verify_candidate(&self, commit: CommitId) -> Result<(), RepositoryError> {
        for (name, id) in self.files(commit)? {
            let role = if name == PROPOSAL_FILE { Role::Proposal { commit } } else { Role::Program { commit } };
            self.read(role, id, ObjectType::Blob)?;
        }
        Ok(())
    }

    /// Lets `best` name this commit.
    pub fn set_best(&self, commit: CommitId) -> Result<(), RepositoryError> {
        self.read(Role::Commit, commit.oid(), ObjectType::Commit)?;
        self.point(BEST, commit)
    }

    /// What `best` names, if anything yet.
    pub fn best(&self) -> Result<Option<CommitId>, RepositoryError> {
        self.target(BEST)
    }

    /// Makes everything that was added to `kept` reachable, so that no garbage collection takes it and every mirror
    /// has it. Until then git sees it as garbage of less than two weeks.
    pub fn keep(&self, kept: &mut Kept) -> Result<(), RepositoryError> {
        for id in kept.fresh() {
            self.require(Role::Kept, *id)?;
        }
        let Some((objects, head)) = kept.draft() else { return Ok(()) };
        self.write(&objects)?;
        self.point(KEPT, head)?;
        kept.written();
        Ok(())
    }

    /// Leaves out of what is to be kept what was written by an earlier process. `kept` has everything from the start.
    pub fn recall(&self, kept: &mut Kept) -> Result<(), RepositoryError> {
        let odb = self.git.odb().map_err(|source| RepositoryError::Write { path: self.path.clone(), source })?;
        kept.recall(|id| odb.exists(id));
        Ok(())
    }

    /// Has all objects packed, or their files synced; until then the logs that they were written to first have them.
    pub fn settle(&self) -> Result<(), RepositoryError> {
        let (ahead, packer) = &mut *self.ahead().borrow_mut();
        packer.finish()?;
        if ahead.is_worth_a_pack() {
            ahead.seal()?;
            return pack::pack(&self.path);
        }
        ahead.settle()
    }

    fn ahead(&self) -> &RefCell<(Ahead, Packer)> {
        self.ahead.as_ref().expect("BUG: an archive that was opened to be read is written to")
    }

    /// Writes objects, each after those it names: they are on the disk when this returns.
    fn write(&self, objects: &[Object]) -> Result<(), RepositoryError> {
        let (ahead, packer) = &mut *self.ahead().borrow_mut();
        ahead.write(objects)?;
        objects.iter().try_for_each(|object| self.write_file(object))?;
        if ahead.is_full() {
            packer.finish()?;
            ahead.seal()?;
            packer.begin(&self.path)?;
        }
        Ok(())
    }

    /// Writes the file that git knows an object by; it is not synced.
    fn write_file(&self, object: &Object) -> Result<(), RepositoryError> {
        let path = loose::path(&self.path, object.id);
        loose::write(&self.path, object).map_err(RepositoryError::io(&path, "write an object"))
    }

    /// Removes the file of an object, which git2 would take for whole.
    fn discard(&self, id: Oid) -> Result<(), RepositoryError> {
        let path = loose::path(&self.path, id);
        pack::gone(fs::remove_file(&path)).map_err(RepositoryError::io(&path, "remove a damaged object"))
    }

    fn read(&self, role: Role, id: Oid, kind: ObjectType) -> Result<Vec<u8>, RepositoryError> {
        let damaged = |reason| RepositoryError::Damaged { role, id: id.into(), reason };
        let path = loose::path(&self.path, id);
        let (found, bytes) = match fs::read(&path) {
            Ok(file) => loose::parse(&file, id).map_err(damaged)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.read_packed(role, id)?,
            Err(error) => return Err(RepositoryError::io(&path, "read an object")(error)),
        };
        if found != kind {
            return Err(damaged(format!("it is a {found}, not a {kind}")));
        }
        Ok(bytes)
    }

    /// Reads an object that has no file of its own; git2 checks the id of what it unpacks.
    fn read_packed(&self, role: Role, id: Oid) -> Result<(ObjectType, Vec<u8>), RepositoryError> {
        // A cached object would hide that the one on the disk was changed.
        git2::opts::enable_caching(false);
        let odb = self.git.odb().map_err(RepositoryError::reading(role, id))?;
        let object = odb.read(id).map_err(RepositoryError::reading(role, id))?;
        Ok((object.kind(), object.data().to_vec()))
    }

    fn require(&self, role: Role, id: Oid) -> Result<(), RepositoryError> {
        let odb = self.git.odb().map_err(RepositoryError::reading(role, id))?;
        if odb.exists(id) { Ok(()) } else { Err(RepositoryError::Missing { role, id: id.into() }) }
    }

    /// A file of a candidate.
    fn entry(&self, commit: CommitId, file_name: &str) -> Result<Option<Oid>, RepositoryError> {
        let files = self.files(commit)?;
        Ok(files.into_iter().find(|(name, _)| name == file_name).map(|(_, id)| id))
    }

    fn files(&self, commit: CommitId) -> Result<Vec<(String, Oid)>, RepositoryError> {
        let (role, id) = (Role::Tree { commit }, self.commit_facts(commit)?.tree.oid());
        let bytes = self.read(role, id, ObjectType::Tree)?;
        tree_entries(&bytes).ok_or_else(|| unfit(role, id))
    }

    fn point(&self, name: &'static str, commit: CommitId) -> Result<(), RepositoryError> {
        if self.target(name)? == Some(commit) {
            return Ok(());
        }
        let moved = self.git.reference(name, commit.oid(), true, "");
        moved.map(drop).map_err(|source| RepositoryError::Ref { path: self.path.clone(), name, source })
    }

    fn target(&self, name: &'static str) -> Result<Option<CommitId>, RepositoryError> {
        match self.git.refname_to_id(name) {
            Ok(id) => Ok(Some(CommitId::from_oid(id))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(source) => Err(RepositoryError::Ref { path: self.path.clone(), name, source }),
        }
    }
}

/// An intact object that nobody but a stranger can have written.
fn unfit(role: Role, id: Oid) -> RepositoryError {
    RepositoryError::Damaged { role, id: id.into(), reason: "it is not what an archive holds".into() }
}

#[cfg(test)]
mod tests;
