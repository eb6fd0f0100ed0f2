//! Writer: how the lines of a journal reach the disk. It knows nothing of what an event means, never rewrites a line, and
//! does not repair a journal whose middle is damaged.
//!
//! A journal that is in its place has its first event. Until then it is a [`Draft`] beside its place, which keeps others
//! away as a journal does; a crash leaves a draft that the next run takes over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::error::JournalError;
use crate::journal::line::{Chain, Entry, MAX_LINE, encode};
use crate::journal::live;
use crate::journal::reader::TornLine;
use crate::journal::scan::scan;

/// A journal that this process appends to. It holds an exclusive lock on the file, which ends with the process however
/// the process ends: a second harness on the same run is refused, a stale lock cannot exist.
#[derive(Debug)]
pub struct Journal<E> {
    path: PathBuf,
    file: File,
    /// Bytes of the file that are known to be on the disk.
    synced: u64,
    chain: Chain,
    clock: Clock,
    broken: bool,
    event: PhantomData<fn(E)>,
}

/// A journal that is not in its place yet, since nothing has happened. It holds the lock that the journal will hold.
#[derive(Debug)]
#[must_use = "a journal is there once its first event is"]
pub struct Draft<E>(Journal<E>);

/// Where a line was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Appended {
    /// Its first byte in the file.
    pub offset: u64,
    /// What it is stamped with, seconds since 1970.
    pub time: f64,
}

impl<E: Serialize> Journal<E> {
    /// Begins a journal in a folder that exists. Refuses to touch a journal that is there, or one that another process
    /// is beginning; takes over what a crash left of one.
    ///
    /// # Errors
    /// What the operating system says, or that somebody else was first.
    pub fn create(path: &Path) -> Result<Draft<E>, JournalError> {
        let aside = draft(path);
        let file = OpenOptions::new().append(true).create(true).open(&aside);
        let file = file.map_err(JournalError::io(path, "create"))?;
        lock(&file, path)?;
        // Asked under the lock: its last holder may have moved this very file to its place.
        if path.exists() {
            let _ = fs::remove_file(&aside);
            return Err(JournalError::Exists { path: path.to_owned() });
        }
        file.set_len(0).map_err(JournalError::io(path, "empty the draft of"))?;
        // Before anything else is in the folder: the draft says whose folder it is.
        sync_folders(path)?;
        Ok(Draft(Self::at(path, file, Chain::default())))
    }

    /// Opens a journal for appending: checks every line, gives `each` its events in order, and cuts off a last line that
    /// was never finished. Changes nothing unless all of that went well.
    ///
    /// # Errors
    /// A journal that is missing, in use, damaged or of another version; what `each` says.
    pub fn open<X: From<JournalError>>(
        path: &Path,
        each: impl FnMut(Entry<E>) -> Result<(), X>,
    ) -> Result<(Self, Option<TornLine>), X>
    where
        E: DeserializeOwned + Send,
    {
        let file = OpenOptions::new().append(true).open(path).map_err(JournalError::opening(path))?;
        lock(&file, path)?;
        let reader = scan(path, each)?;
        let (torn, chain) = (reader.torn(), reader.into_chain());
        if torn.is_some() {
            file.set_len(chain.offset).map_err(JournalError::io(path, "cut the torn last line off"))?;
        }
        // Also when nothing was torn: the lines may have been written by a harness that died before its sync, and what
        // follows builds on them.
        file.sync_all().map_err(JournalError::io(path, "sync"))?;
        Ok((Self::at(path, file, chain), torn))
    }

    fn at(path: &Path, file: File, chain: Chain) -> Self {
        let (synced, clock) = (chain.offset, Clock::start());
        Self { path: path.to_owned(), file, synced, chain, clock, broken: false, event: PhantomData }
    }

    /// Stamps the lines to come with this time, so that tests can expect bytes.
    #[cfg(test)]
    #[must_use]
    pub fn stopped_at(mut self, time: f64) -> Self {
        self.clock = Clock { began: time, running: None };
        self
    }

    /// Writes one event; the next [`Journal::sync`] makes it happen. A power failure may take it until then, but never
    /// without all that follow it.
    ///
    /// A failure to write or sync is final: what the disk holds is then unknown, every later call is refused, and the run
    /// has to be opened again.
    ///
    /// # Errors
    /// What the operating system says; an event longer than a line may be.
    pub fn append(&mut self, event: &E) -> Result<Appended, JournalError> {
        self.refuse_if_broken()?;
        let mut chain = self.chain.clone();
        let appended = Appended { offset: chain.offset, time: self.clock.now() };
        let unwritable = |source| JournalError::Unwritable { path: self.path.clone(), source };
        let line = encode(&mut chain, appended.time, event).map_err(unwritable)?;
        if line.len() > MAX_LINE {
            return Err(JournalError::TooLong { path: self.path.clone(), line: self.chain.line() });
        }
        self.write(&line)?;
        self.chain = chain;
        Ok(appended)
    }

    /// Puts all events that were written on the disk.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.refuse_if_broken()?;
        if self.synced == self.chain.offset {
            return Ok(());
        }
        if let Err(source) = self.file.sync_data() {
            // Best effort: the system may show lines from here on that no disk has.
            let _ = self.file.set_len(self.synced);
            return Err(self.broken_by("sync", source));
        }
        self.synced = self.chain.offset;
        Ok(())
    }

    fn refuse_if_broken(&self) -> Result<(), JournalError> {
        if self.broken { Err(JournalError::Broken { path: self.path.clone() }) } else { Ok(()) }
    }

    fn broken_by(&mut self, doing: &'static str, source: std::io::Error) -> JournalError {
        self.broken = true;
        JournalError::io(&self.path, doing)(source)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        if let Err(source) = self.file.write_all(bytes) {
            // Best effort: what was not written whole is dropped by the next process that opens the journal.
            let _ = self.file.set_len(self.chain.offset);
            return Err(self.broken_by("append to", source));
        }
        Ok(())
    }
}

impl<E: Serialize> Draft<E> {
    /// Writes the first event, and moves the journal to its place once it is on the disk.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn begin(self, first: &E) -> Result<(Journal<E>, Appended), JournalError> {
        let Self(mut journal) = self;
        let appended = journal.append(first)?;
        journal.sync()?;
        fs::rename(draft(&journal.path), &journal.path).map_err(JournalError::io(&journal.path, "put in its place"))?;
        sync_folders(&journal.path)?;
        Ok((journal, appended))
    }
}

/// Where a journal is before it has its first event.
pub fn draft(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => JournalError::InUse { path: path.to_owned(), process: live::holder(path) },
        TryLockError::Error(source) => JournalError::io(path, "lock")(source),
    })
}

/// Syncs the folder of the journal, and the folder that holds it, which is likely to be as new.
fn sync_folders(path: &Path) -> Result<(), JournalError> {
    let absolute = std::path::absolute(path).map_err(JournalError::io(path, "locate"))?;
    for folder in absolute.ancestors().skip(1).take(2) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(JournalError::io(folder, "sync"))?;
    }
    Ok(())
}

/// What lines are stamped with: seconds since 1970, for people to read. It looks at the clock on the wall once and goes on
/// evenly from there, so that the times of a session tell how long it took even if that clock is set.
#[derive(Clone, Copy, Debug)]
struct Clock {
    began: f64,
    /// `None`: it stands still.
    running: Option<Instant>,
}

impl Clock {
    fn start() -> Self {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_micros() as f64,
            Err(before) => -(before.duration().as_micros() as f64),
        };
        Self { began: micros / 1e6, running: Some(Instant::now()) }
    }

    fn now(&self) -> f64 {
        let later = self.running.map_or(0.0, |since| since.elapsed().as_micros() as f64);
        (self.began * 1e6 + later).round() / 1e6
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
