//! Updates the archive of a live run in the background, at intervals. The journal has everything that the archive
//! shows, so nothing waits for it and nothing is lost with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::archive::candidate::{CandidateIds, NewCandidate};
use crate::archive::error::{ArchiveError, ProgramsError};
use crate::archive::id::{CommitId, GitId};
use crate::archive::kept::Kept;
use crate::archive::notes;
use crate::archive::object::Object;
use crate::archive::refs::Refs;
use crate::archive::store::{Archive, KEPT, NOTES};
use crate::values::error_kind::in_one_line;

/// The fewest candidates and the shortest time between two packs. Both grow with the run, so that a run of any length
/// has some hundred packs.
const FEWEST: usize = 32;
const SHORTEST: Duration = Duration::from_secs(10);
const GROWTH: usize = 32;
/// Candidates of one pack when an archive is made again.
const AT_ONCE: usize = 1000;

#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    /// Commit times count from here.
    epoch: i64,
    /// Those of all candidates.
    commits: Vec<CommitId>,
    kept: Kept,
    /// Candidates that wait for a thread.
    waiting: Vec<NewCandidate>,
    /// The number of archived candidates.
    archived: usize,
    /// Whether a pack could not be written. Later packs would build on missing objects, so nothing is written until the
    /// end, which makes the rest from the journal.
    is_behind: bool,
    began: Instant,
    last: Instant,
    thread: Option<JoinHandle<Result<(), ArchiveError>>>,
}

impl Writer {
    /// Opens or creates the archive at `path`, and moves anything else in its place aside. Commit times count from
    /// `epoch`. The caller holds the lock of the run.
    ///
    /// # Errors
    /// Git or the operating system fails.
    pub fn open(path: &Path, epoch: i64) -> Result<Self, ArchiveError> {
        Archive::open_or_create(path)?;
        Ok(Self {
            path: path.to_owned(),
            epoch,
            commits: Vec::new(),
            kept: Kept::new(epoch),
            waiting: Vec::new(),
            archived: 0,
            is_behind: false,
            began: Instant::now(),
            last: Instant::now(),
            thread: None,
        })
    }

    /// Adds the next candidate; `None`: the archive has it.
    pub fn add(&mut self, commit: CommitId, new: Option<NewCandidate>) {
        self.commits.push(commit);
        self.kept.add(commit);
        match new {
            Some(new) if !self.is_behind => self.waiting.push(new),
            _ => self.archived += 1,
        }
    }

    /// Whether a pack is due and none is being written.
    pub fn is_due(&self) -> bool {
        let is_idle = self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        let is_long_ago = self.last.elapsed() >= SHORTEST.max(self.began.elapsed() / GROWTH as u32);
        let is_much = self.waiting.len() >= FEWEST.max(self.archived / GROWTH);
        is_idle && (is_much || is_long_ago && !self.waiting.is_empty())
    }

    /// Starts to archive the waiting candidates and to move the refs, in the background. A failure does not stop the
    /// run: the archive is made again later.
    pub fn begin(&mut self, refs: Refs) {
        self.wait();
        if self.is_behind {
            return;
        }
        let Some((objects, head)) = self.kept.take() else { return };
        let new = std::mem::take(&mut self.waiting);
        self.archived += new.len();
        self.last = Instant::now();
        let path = self.path.clone();
        let archive = move || archive(&path, new, objects, head, &refs);
        match thread::Builder::new().name("archive".to_owned()).spawn(archive) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "cannot start to archive");
                self.is_behind = true;
            }
        }
    }

    /// Writes the waiting candidates, and waits for the end.
    ///
    /// # Errors
    /// Git or the operating system fails.
    pub fn flush(&mut self) -> Result<(), ArchiveError> {
        self.wait();
        Archive::open(&self.path)?.write(objects_of(std::mem::take(&mut self.waiting))?)
    }

    /// Updates the archive with `refs` and `notes`, and waits for the end. What keeps the candidates is written again if a
    /// part of it is missing.
    ///
    /// # Errors
    /// Git or the operating system fails.
    pub fn finish(&mut self, refs: &Refs, notes: &BTreeMap<CommitId, String>) -> Result<(), ArchiveError> {
        self.flush()?;
        let mut kept = Kept::new(self.epoch);
        self.commits.iter().for_each(|commit| kept.add(*commit));
        if let Some((objects, head)) = kept.take() {
            archive(&self.path, Vec::new(), objects, head, refs)?;
        }
        set_notes(&Archive::open(&self.path)?, notes, refs.time())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The candidates of which the archive lacks an object: none, unless it was changed, or collected before its refs
    /// moved.
    ///
    /// # Errors
    /// Git fails.
    pub fn lacking(&self, all: impl Iterator<Item = CandidateIds>) -> Result<Vec<usize>, ArchiveError> {
        let archive = Archive::open(&self.path)?;
        let lacks = all.enumerate().map(|(at, ids)| Ok(archive.lacks(&ids)?.then_some(at)));
        lacks.filter_map(Result::transpose).collect()
    }

    /// The commits that the archive lacks.
    ///
    /// # Errors
    /// Git fails.
    pub fn lacking_commits(&self, all: impl Iterator<Item = CommitId>) -> Result<Vec<usize>, ArchiveError> {
        let archive = Archive::open(&self.path)?;
        let lacks = all.enumerate().map(|(at, commit)| Ok((!archive.has(commit.oid())?).then_some(at)));
        lacks.filter_map(Result::transpose).collect()
    }

    /// Writes candidates that the archive lacks.
    ///
    /// # Errors
    /// Git, the operating system or `next` fails.
    pub fn restore(
        &self,
        lacking: &[usize],
        next: impl Fn(usize) -> Result<NewCandidate, ProgramsError>,
    ) -> Result<(), ArchiveError> {
        let archive = Archive::open(&self.path)?;
        for some in lacking.chunks(AT_ONCE) {
            let new = some.iter().map(|at| next(*at)).collect::<Result<Vec<_>, _>>()?;
            archive.write(objects_of(new)?)?;
        }
        Ok(())
    }

    /// Waits for the thread.
    fn wait(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if let Err(error) = thread.join().expect("BUG: archiving does not panic") {
            tracing::warn!(error = in_one_line(&error), "the archive is not up to date");
            // Refs move later if the objects are there.
            if !matches!(error, ArchiveError::Ref { .. }) {
                self.is_behind = true;
                self.waiting.clear();
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.wait();
    }
}

fn objects_of(new: Vec<NewCandidate>) -> Result<Vec<Object>, ArchiveError> {
    let mut objects = Vec::new();
    for new in new {
        objects.extend(new.objects()?);
    }
    Ok(objects)
}

/// Writes candidates with the commits that keep them, then moves the refs.
fn archive(
    path: &Path,
    new: Vec<NewCandidate>,
    keeps: Vec<Object>,
    kept: CommitId,
    refs: &Refs,
) -> Result<(), ArchiveError> {
    let archive = Archive::open(path)?;
    let mut objects = objects_of(new)?;
    objects.extend(keeps);
    objects.extend(refs.objects());
    archive.write(objects)?;
    archive.point(KEPT, kept)?;
    refs.show(&archive)
}

fn set_notes(archive: &Archive, notes: &BTreeMap<CommitId, String>, time: u64) -> Result<(), ArchiveError> {
    if notes.is_empty() {
        return Ok(());
    }
    let (objects, head) = notes::draft(notes, time);
    archive.write(objects)?;
    archive.point(NOTES, head)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
