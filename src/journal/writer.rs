//! Appends lines to a journal. It knows nothing of the meaning of events, never rewrites a line, and repairs no journal
//! with a damaged middle.
//!
//! A journal in its place has its first event. Before that it is a [`Draft`] beside its place, which locks out others
//! as a journal does; the next run takes over the draft that a crash left.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::error::JournalError;
use crate::journal::line::{Chain, Entry, MAX_LINE, encode, parse};
use crate::journal::live;
use crate::journal::reader::TornLine;
use crate::journal::scan::scan;

/// A journal that this process appends to, with an exclusive lock on the file. The lock ends with the process, no
/// matter how, so a second harness on the same run is refused and no lock goes stale.
#[derive(Debug)]
pub struct Journal<E> {
    path: PathBuf,
    file: File,
    /// Bytes of the file that are synced.
    synced: u64,
    chain: Chain,
    clock: Clock,
    broken: bool,
    event: PhantomData<fn(E)>,
}

/// A journal without its first event. It holds the lock of the journal to be.
#[derive(Debug)]
#[must_use = "a journal is there once its first event is"]
pub struct Draft<E>(Journal<E>);

/// The position of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Appended {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its time in seconds since 1970.
    pub time: f64,
}

impl<E: Serialize + DeserializeOwned> Journal<E> {
    /// Starts a journal in an existing folder. Refuses if a journal exists or another process is starting one; takes
    /// over the leftovers of a crash.
    ///
    /// # Errors
    /// The operating system fails, or another process was first.
    pub fn create(path: &Path) -> Result<Draft<E>, JournalError> {
        let aside = draft(path);
        let file = OpenOptions::new().append(true).create(true).open(&aside);
        let file = file.map_err(JournalError::io(path, "create"))?;
        lock(&file, path)?;
        // Checked under the lock: its last holder may have moved this file to its place.
        if path.exists() {
            let _ = fs::remove_file(&aside);
            return Err(JournalError::Exists { path: path.to_owned() });
        }
        file.set_len(0).map_err(JournalError::io(path, "empty the draft of"))?;
        // First, because the draft marks the owner of the folder.
        sync_folders(path)?;
        Ok(Draft(Self::at(path, file, Chain::default())))
    }

    /// Opens a journal for appending: checks every line, calls `each` for its events in order, and cuts off an
    /// unfinished last line. Changes nothing unless all of that succeeds.
    ///
    /// # Errors
    /// The journal is missing, in use, damaged or of another version, or `each` fails.
    pub fn open<X: From<JournalError>>(
        path: &Path,
        each: impl FnMut(Entry<E>) -> Result<(), X>,
    ) -> Result<(Self, Option<TornLine>), X>
    where
        E: Send,
    {
        let file = OpenOptions::new().append(true).open(path).map_err(JournalError::opening(path))?;
        lock(&file, path)?;
        let reader = scan(path, each)?;
        let (torn, chain) = (reader.torn(), reader.into_chain());
        if torn.is_some() {
            file.set_len(chain.offset).map_err(JournalError::io(path, "cut the torn last line off"))?;
        }
        // Also without a torn line: a harness that died before its sync may have written the lines, and later ones
        // build on them.
        file.sync_all().map_err(JournalError::io(path, "sync"))?;
        Ok((Self::at(path, file, chain), torn))
    }

    fn at(path: &Path, file: File, chain: Chain) -> Self {
        let (synced, clock) = (chain.offset, Clock::start());
        Self { path: path.to_owned(), file, synced, chain, clock, broken: false, event: PhantomData }
    }

    /// Uses this time in further lines, so that tests can expect bytes.
    #[cfg(test)]
    #[must_use]
    pub fn stopped_at(mut self, time: f64) -> Self {
        self.clock = Clock { began: time, running: None };
        self
    }

    /// Writes one event; the next [`Journal::sync`] makes it permanent. Until then a power loss may remove it, but
    /// never without all later ones.
    ///
    /// A failure to write or sync is final: the contents of the disk are then unknown, every later call fails, and the
    /// run has to be opened again.
    ///
    /// # Errors
    /// The operating system fails, or the event is longer than a line may be or would not read back; nothing is written
    /// of such an event.
    pub fn append(&mut self, event: &E) -> Result<Appended, JournalError> {
        self.refuse_if_broken()?;
        let mut chain = self.chain.clone();
        let appended = Appended { offset: chain.offset, time: self.clock.now() };
        let unwritable = |source| JournalError::Unwritable { path: self.path.clone(), source };
        let line = encode(&mut chain, appended.time, event).map_err(unwritable)?;
        if line.len() > MAX_LINE {
            return Err(JournalError::TooLong { path: self.path.clone(), line: self.chain.line() });
        }
        // JSON has no number that is not finite: an event with one would end the run, because no reader takes its line.
        parse::<E>(&line[..line.len() - 1]).map_err(unwritable)?;
        self.write(&line)?;
        self.chain = chain;
        Ok(appended)
    }

    /// Syncs all written events.
    ///
    /// # Errors
    /// The operating system fails.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.refuse_if_broken()?;
        if self.synced == self.chain.offset {
            return Ok(());
        }
        if let Err(source) = self.file.sync_data() {
            // Best effort: from here on, the system may show lines that are not on the disk.
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
            // Best effort: the next process that opens the journal drops an unfinished line.
            let _ = self.file.set_len(self.chain.offset);
            return Err(self.broken_by("append to", source));
        }
        Ok(())
    }
}

impl<E: Serialize + DeserializeOwned> Draft<E> {
    /// Writes the first event, syncs, and moves the journal to its place.
    ///
    /// # Errors
    /// The operating system fails.
    pub fn begin(self, first: &E) -> Result<(Journal<E>, Appended), JournalError> {
        let Self(mut journal) = self;
        let appended = journal.append(first)?;
        journal.sync()?;
        fs::rename(draft(&journal.path), &journal.path).map_err(JournalError::io(&journal.path, "put in its place"))?;
        sync_folders(&journal.path)?;
        Ok((journal, appended))
    }
}

/// The path of a journal before its first event.
pub fn draft(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => JournalError::InUse { path: path.to_owned(), process: live::holder(path) },
        TryLockError::Error(source) => JournalError::io(path, "lock")(source),
    })
}

/// Syncs the folder of the journal and its parent, which is likely to be as new.
fn sync_folders(path: &Path) -> Result<(), JournalError> {
    let absolute = std::path::absolute(path).map_err(JournalError::io(path, "locate"))?;
    for folder in absolute.ancestors().skip(1).take(2) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(JournalError::io(folder, "sync"))?;
    }
    Ok(())
}

/// The time of lines in seconds since 1970, for people. It reads the wall clock once and advances evenly from there, so
/// that the times of a session measure durations even if the clock is set.
#[derive(Clone, Copy, Debug)]
struct Clock {
    began: f64,
    /// `None`: constant.
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
