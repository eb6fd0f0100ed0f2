//! Repository: the archive of a run, a bare git repository in which every candidate is a commit.
//!
//! The only door to git2. The bytes of every object are made by pure functions ([`candidate`], [`kept`]), so that what
//! a candidate's commit is called depends on nothing but the candidate, and replay can tell it without an archive.
//! This file writes those bytes, reads them back and moves refs. Every read goes to the disk and checks what it finds
//! against the id: what was changed is an error that names the object and what it is to us, never content.
//!
//! The user's and the system's git settings have no say: only the repository's own file is read. Nothing here decides
//! what is written when; objects are on the disk when a call returns, refs are a view of the journal and may lag.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use git2::{ErrorCode, ObjectType, Oid};

use crate::archive::ahead::{Ahead, Left, Records};
use crate::archive::candidate::{NewCandidate, PROPOSAL_FILE, Written};
use crate::archive::error::RepositoryError;
use crate::archive::handle::Handle;
use crate::archive::id::{BlobId, CommitId, GitId};
use crate::archive::kept::Kept;
use crate::archive::object::{CommitFacts, Object, Role, tree_entries};
use crate::archive::pack::Packer;
use crate::archive::{front, layout, loose, notes, object, pack};

/// What `best` names; HEAD points to it, so that a clone and a bare `git log` show the best program's lineage.
const BEST: &str = "refs/heads/best";
pub(super) const KEPT: &str = "refs/packevolve/kept";
/// Views, too: the front, and the best of every island by its number.
const FRONT: &str = "refs/packevolve/front";
const ISLANDS: &str = "refs/packevolve/islands";
/// A view; the settings of an archive have git show it.
const NOTES: &str = "refs/notes/packevolve";

/// Between two attempts to move a ref that is locked.
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// The archive of a run. It may move between threads but serves one at a time.
pub struct Repository {
    pub(super) path: PathBuf,
    pub(super) git: Handle,
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
        Ok(Self { path: path.to_owned(), git: Handle::open(path)?, ahead: None })
    }

    /// Opens an archive to go on writing, after whatever ended the process that wrote to it last. The caller holds the
    /// lock of the run.
    pub fn resume(path: &Path) -> Result<Self, RepositoryError> {
        // First of all a check that it is one: nothing is written into a folder of another kind.
        Self::open(path)?;
        layout::settle(path)?;
        layout::clear_locks(&ref_files(path))?;
        layout::clear_torn(&ref_files(path))?;
        Self::open_to_write(path)
    }

    /// What a crash may have kept from reaching its file is written again, unless the file is whole.
    fn open_to_write(path: &Path) -> Result<Self, RepositoryError> {
        let (ahead, left) = Ahead::open(path)?;
        let ahead = Some(RefCell::new((ahead, Packer::default())));
        let repository = Self { path: path.to_owned(), git: Handle::open(path)?, ahead };
        repository.write_again(&left)?;
        // So that the log itself is there after a power loss.
        layout::sync(path).map_err(RepositoryError::io(path, "sync it"))?;
        Ok(repository)
    }

    /// Writes the files of those objects in the logs that have none which is whole.
    pub fn restore(&self) -> Result<(), RepositoryError> {
        Left::read(&self.path)?.iter().try_for_each(|left| self.write_again(&left.objects))
    }

    fn write_again(&self, objects: &[Object]) -> Result<(), RepositoryError> {
        for object in objects {
            if self.read_stored(Role::Blob, object.id, object.kind).is_err() {
                self.discard(object.id)?;
                self.write_file(object)?;
            }
        }
        Ok(())
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

    /// Checks all that a candidate has in the archive as git sees it: its commit, its tree and every file in it.
    pub fn verify_candidate(&self, commit: CommitId) -> Result<(), RepositoryError> {
        let tree = self.commit_facts(commit)?.tree;
        self.read_stored(Role::Commit, commit.oid(), ObjectType::Commit)?;
        self.read_stored(Role::Tree { commit }, tree.oid(), ObjectType::Tree)?;
        for (name, id) in self.files(commit)? {
            let role = if name == PROPOSAL_FILE { Role::Proposal { commit } } else { Role::Program { commit } };
            self.read_stored(role, id, ObjectType::Blob)?;
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

    /// Lets git show the front: a commit with these parents.
    ///
    /// # Errors
    /// The commit cannot be written. A ref that cannot be moved is none.
    pub fn show_front(&self, members: &[CommitId], time: u64) -> Result<(), RepositoryError> {
        let (objects, head) = front::draft(members, time);
        if !members.is_empty() && self.front() != Some(head) {
            self.write(&objects)?;
            self.show(FRONT, head);
        }
        Ok(())
    }

    /// What [`Repository::show_front`] lets git show.
    pub fn front_id(members: &[CommitId], time: u64) -> CommitId {
        front::draft(members, time).1
    }

    /// What git shows as the front, if anything yet.
    pub fn front(&self) -> Option<CommitId> {
        self.target(FRONT).unwrap_or_default()
    }

    /// Lets git show the best of an island.
    pub fn show_island(&self, number: usize, best: CommitId) {
        if self.island(number) != Some(best) {
            self.show(&island(number), best);
        }
    }

    /// What git shows as the best of an island, if anything yet.
    pub fn island(&self, number: usize) -> Option<CommitId> {
        self.target(&island(number)).unwrap_or_default()
    }

    /// Moves a ref that is a view. One that cannot be moved stays as it is until the next time.
    fn show(&self, name: &str, commit: CommitId) {
        if let Err(error) = self.git.get().reference(name, commit.oid(), true, "") {
            tracing::warn!(archive = %self.path.display(), name, %error, "cannot move a ref");
        }
    }

    pub(super) fn unreadable(&self, name: &str) -> impl FnOnce(git2::Error) -> RepositoryError {
        let (path, name) = (self.path.clone(), name.to_owned());
        move |source| RepositoryError::Ref { path, name, source }
    }

    /// Makes everything that was added to `kept` reachable, so that no garbage collection takes it and every mirror
    /// has it. Until then git sees it as garbage of less than two weeks.
    pub fn keep(&self, kept: &mut Kept) -> Result<(), RepositoryError> {
        let stored = |id: &Oid| self.is_stored(Role::Kept, *id);
        if !kept.fresh().iter().map(stored).collect::<Result<Vec<_>, _>>()?.into_iter().all(|stored| stored) {
            // Somebody had git collect what it takes for garbage until this moment.
            self.restore()?;
        }
        for id in kept.fresh() {
            self.require(Role::Kept, *id)?;
        }
        let Some((objects, head)) = kept.draft() else { return Ok(()) };
        self.write(&objects)?;
        self.point(KEPT, head)?;
        kept.written(head);
        self.pack_beside()
    }

    /// Leaves out of what is to be kept what an earlier process has kept. `kept` has everything from the start, or from
    /// when it was written on; whether the archive keeps what was written by then. What cannot be read is written again.
    pub fn recall(&self, kept: &mut Kept) -> Result<bool, RepositoryError> {
        let Some(head) = self.target(KEPT)? else { return Ok(false) };
        let (Ok(facts), Ok(blobs)) = (self.commit_facts(head), self.files(head)) else { return Ok(false) };
        let members = (facts.parents.len() + blobs.len()).saturating_sub(1);
        Ok(kept.recall(head, (facts.parents.first().copied(), members)))
    }

    /// Has what full logs hold packed, beside what goes on; tells if that has failed. All of it is kept by now.
    fn pack_beside(&self) -> Result<(), RepositoryError> {
        let (ahead, packer) = &mut *self.ahead().borrow_mut();
        packer.look()?;
        if ahead.is_full() {
            ahead.seal()?;
        }
        match ahead.take_sealed() {
            logs if logs.is_empty() => Ok(()),
            logs => packer.begin(&self.path, logs),
        }
    }

    /// Lets git show these texts below the commits, and no others. They come as one pack: nothing needs them to be
    /// objects of their own, and there is one for each candidate. Those that git shows already are not packed again.
    pub fn set_notes(&self, notes: &BTreeMap<CommitId, String>, time: u64) -> Result<(), RepositoryError> {
        let (mut objects, head) = notes::draft(notes, time);
        let shown = self.target(NOTES)?;
        if notes.is_empty() || shown == Some(head) {
            return Ok(());
        }
        let there = shown.map_or(Ok(HashSet::new()), |shown| self.all_below(shown))?;
        objects.retain(|object| !there.contains(&object.id));
        // It would be in the way of ours.
        self.ahead().borrow_mut().1.wait();
        pack::publish(&self.path, objects.into_iter().map(Ok))?;
        self.point(NOTES, head)
    }

    /// A commit and all that it leads to, as far as it is there.
    fn all_below(&self, commit: CommitId) -> Result<HashSet<Oid>, RepositoryError> {
        let role = Role::Commit;
        let (mut all, mut next) = (HashSet::new(), vec![(commit.oid(), ObjectType::Commit)]);
        while let Some((id, kind)) = next.pop() {
            if kind == ObjectType::Blob {
                all.extend(self.git_has(role, id)?.then_some(id));
            } else if let Ok(bytes) = self.read(role, id, kind) {
                all.insert(id);
                next.extend(object::children(kind, &bytes));
            }
        }
        Ok(all)
    }

    /// Has all objects packed, or their files synced; until then the logs that they were written to first have them. What
    /// the journal names is to be kept before this.
    pub fn settle(&self) -> Result<(), RepositoryError> {
        let (ahead, packer) = &mut *self.ahead().borrow_mut();
        packer.finish()?;
        // If a collection of garbage has taken some, it may be about to take others: a pack is safe from it.
        if ahead.is_worth_a_pack() || !self.is_all_stored()? {
            ahead.seal()?;
        }
        pack::pack(&self.path, &ahead.take_sealed())?;
        ahead.settle()
    }

    /// Whether git has all that the logs have.
    fn is_all_stored(&self) -> Result<bool, RepositoryError> {
        for object in Records::all(&self.path)? {
            if !self.is_stored(Role::Kept, object?.id)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn ahead(&self) -> &RefCell<(Ahead, Packer)> {
        self.ahead.as_ref().expect("BUG: an archive that was opened to be read is written to")
    }

    /// Writes objects, each after those it names: they are on the disk when this returns.
    fn write(&self, objects: &[Object]) -> Result<(), RepositoryError> {
        self.ahead().borrow_mut().0.write(objects)?;
        objects.iter().try_for_each(|object| self.write_file(object))
    }

    /// Writes the file that git knows an object by; it is not synced.
    fn write_file(&self, object: &Object) -> Result<(), RepositoryError> {
        let path = loose::path(&self.path, object.id);
        loose::write(&self.path, object).map_err(RepositoryError::io(&path, "write an object"))
    }

    /// Removes the file of an object, which git would take for whole.
    fn discard(&self, id: Oid) -> Result<(), RepositoryError> {
        let path = loose::path(&self.path, id);
        layout::gone(fs::remove_file(&path)).map_err(RepositoryError::io(&path, "remove a damaged object"))
    }

    /// Reads an object as git stores it, or else as it was written ahead.
    pub(super) fn read(&self, role: Role, id: Oid, kind: ObjectType) -> Result<Vec<u8>, RepositoryError> {
        self.read_stored(role, id, kind).or_else(|_| match self.left(id)? {
            Some(object) if object.kind == kind => Ok(object.bytes),
            // It may have been packed since it was looked for.
            _ => self.read_stored(role, id, kind),
        })
    }

    /// An object as it was written ahead.
    fn left(&self, id: Oid) -> Result<Option<Object>, RepositoryError> {
        let is_it = |object: &Result<Object, _>| object.as_ref().map_or(true, |object| object.id == id);
        Records::all(&self.path)?.find(is_it).transpose()
    }

    pub(super) fn read_stored(&self, role: Role, id: Oid, kind: ObjectType) -> Result<Vec<u8>, RepositoryError> {
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

    /// Reads an object that has no file of its own.
    fn read_packed(&self, role: Role, id: Oid) -> Result<(ObjectType, Vec<u8>), RepositoryError> {
        let unpacked = self.git.unpack(id).map_err(RepositoryError::reading(role, id))?;
        unpacked.ok_or(RepositoryError::Missing { role, id: id.into() })
    }

    fn is_stored(&self, role: Role, id: Oid) -> Result<bool, RepositoryError> {
        // Most have a file; packs are many.
        let has_file = loose::path(&self.path, id).exists();
        Ok(has_file || self.git_has(role, id)?)
    }

    fn git_has(&self, role: Role, id: Oid) -> Result<bool, RepositoryError> {
        self.git.has(id).map_err(RepositoryError::reading(role, id))
    }

    fn require(&self, role: Role, id: Oid) -> Result<(), RepositoryError> {
        let is_there = self.is_stored(role, id)? || self.left(id)?.is_some() || self.is_stored(role, id)?;
        if is_there { Ok(()) } else { Err(RepositoryError::Missing { role, id: id.into() }) }
    }

    /// A file of a candidate.
    fn entry(&self, commit: CommitId, file_name: &str) -> Result<Option<Oid>, RepositoryError> {
        let files = self.files(commit)?;
        Ok(files.into_iter().find(|(name, _)| name == file_name).map(|(_, id)| id))
    }

    pub(super) fn files(&self, commit: CommitId) -> Result<Vec<(String, Oid)>, RepositoryError> {
        let (role, id) = (Role::Tree { commit }, self.commit_facts(commit)?.tree.oid());
        let bytes = self.read(role, id, ObjectType::Tree)?;
        tree_entries(&bytes).ok_or_else(|| unfit(role, id))
    }

    fn point(&self, name: &str, commit: CommitId) -> Result<(), RepositoryError> {
        if self.target(name)? == Some(commit) {
            return Ok(());
        }
        let began = Instant::now();
        loop {
            match self.git.get().reference(name, commit.oid(), true, "") {
                // A collection of garbage moves refs, too, or has taken what nothing led to until now.
                Err(error) if began.elapsed() < layout::LOCK_GRACE && self.is_in_the_way(&error, commit)? => {
                    thread::sleep(LOCK_WAIT);
                    self.restore()?;
                }
                moved => {
                    return moved.map(drop).map_err(self.unreadable(name));
                }
            }
        }
    }

    fn is_in_the_way(&self, error: &git2::Error, commit: CommitId) -> Result<bool, RepositoryError> {
        Ok(error.code() == ErrorCode::Locked || !self.is_stored(Role::Commit, commit.oid())?)
    }

    pub(super) fn target(&self, name: &str) -> Result<Option<CommitId>, RepositoryError> {
        match self.git.get().refname_to_id(name) {
            Ok(id) => Ok(Some(CommitId::from_oid(id))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.unreadable(name)(error)),
        }
    }
}

/// The ref of an island.
fn island(number: usize) -> String {
    format!("{ISLANDS}/{number}")
}

/// The files of the refs that are written here, as far as they are there or might be.
pub(super) fn ref_files(archive: &Path) -> Vec<PathBuf> {
    let fixed = [BEST, KEPT, NOTES, FRONT].iter().map(|name| archive.join(name));
    fixed.chain(layout::numbered_refs(&archive.join(ISLANDS))).collect()
}

/// An intact object that nobody but a stranger can have written.
fn unfit(role: Role, id: Oid) -> RepositoryError {
    RepositoryError::Damaged { role, id: id.into(), reason: "it is not what an archive holds".into() }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
