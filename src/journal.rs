//! Journal: the events of a run, one JSON object a line, appended, synced and chained by digests.
//!
//! The journal is the truth of a run: whatever is not in it did not happen. This file owns how lines reach the disk;
//! [`mod@line`] says what a line is, [`reader`] reads them back. Nothing here knows what an event means, rewrites a line
//! that was once written whole, or repairs a journal whose middle is damaged.

pub mod line;
pub mod reader;

mod error;
mod scan;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::JournalError;
pub use line::{Digest, Entry, VERSION};
pub use reader::{Read, Reader, TornLine, read, read_each};

use line::{Chain, MAX_LINE, encode};
use scan::scan;

/// A journal that this process appends to. It holds an exclusive lock on the file, which ends with the process however
/// the process ends: a second harness on the same run is refused, a stale lock cannot exist.
#[derive(Debug)]
pub struct Journal<E> {
    path: PathBuf,
    file: File,
    /// Whether there are lines that are not known to be on the disk.
    unsynced: bool,
    chain: Chain,
    clock: fn() -> f64,
    broken: bool,
    event: PhantomData<fn(E)>,
}

/// A journal opened for appending, and what it holds so far.
#[derive(Debug)]
pub struct Opened<E> {
    /// Where new events go.
    pub journal: Journal<E>,
    /// The events so far.
    pub entries: Vec<Entry<E>>,
    /// The unfinished last line that was dropped, for the user to be told.
    pub torn: Option<TornLine>,
}

impl<E: Serialize + DeserializeOwned> Journal<E> {
    /// Makes an empty journal in a folder that exists, and syncs the folder. Refuses to touch a journal that is there.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let io = JournalError::io(path, "create");
        let file = match OpenOptions::new().append(true).create_new(true).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(JournalError::Exists { path: path.to_owned() });
            }
            file => file.map_err(io)?,
        };
        lock(&file, path)?;
        file.sync_all().map_err(JournalError::io(path, "sync"))?;
        sync_folders(path)?;
        Ok(Self::at(path, file, Chain::default()))
    }

    /// Opens a journal for appending: checks every line, and cuts off a last line that was never finished.
    pub fn open(path: &Path) -> Result<Opened<E>, JournalError>
    where
        E: Send,
    {
        let mut entries = Vec::new();
        let (journal, torn) = Self::open_each(path, |entry| {
            entries.push(entry);
            Ok::<_, JournalError>(())
        })?;
        Ok(Opened { journal, entries, torn })
    }

    /// As [`Journal::open`], with the events so far given to `each` in order and not kept.
    pub fn open_each<X: From<JournalError>>(
        path: &Path,
        each: impl FnMut(Entry<E>) -> Result<(), X>,
    ) -> Result<(Self, Option<TornLine>), X>
    where
        E: Send,
    {
        let file = OpenOptions::new().append(true).open(path).map_err(JournalError::opening(path))?;
        lock(&file, path)?;
        let reader = scan(path, each)?;
        let torn = reader.torn();
        if torn.is_some() {
            file.set_len(reader.end()).map_err(JournalError::io(path, "cut the torn last line off"))?;
        }
        // Also when nothing was torn: the lines may have been written by a harness that died before its sync, and what
        // follows builds on them.
        file.sync_all().map_err(JournalError::io(path, "sync"))?;
        Ok((Self::at(path, file, reader.into_chain()), torn))
    }

    fn at(path: &Path, file: File, chain: Chain) -> Self {
        Self {
            path: path.to_owned(),
            file,
            unsynced: false,
            chain,
            clock: wall_clock,
            broken: false,
            event: PhantomData,
        }
    }

    /// Stamps the lines to come with another clock, so that tests can expect bytes.
    #[must_use]
    pub fn with_clock(mut self, clock: fn() -> f64) -> Self {
        self.clock = clock;
        self
    }

    /// Where the next event's line will begin, and the digest of the last one's.
    pub fn end(&self) -> (u64, Option<Digest>) {
        (self.chain.offset, self.chain.digest)
    }

    /// The sequence number that the next event gets.
    pub fn next_seq(&self) -> u64 {
        self.chain.seq
    }

    /// Writes one event and syncs it; returns its sequence number. When this returns, the event has happened.
    pub fn append(&mut self, event: &E) -> Result<u64, JournalError> {
        self.append_all(std::slice::from_ref(event)).map(|seqs| seqs.start)
    }

    /// Writes one event that is synced with whatever is synced next, by [`Journal::sync`] at the latest; returns its
    /// sequence number. It may be lost with a power failure until then, but never without all that follow it.
    pub fn append_unsynced(&mut self, event: &E) -> Result<u64, JournalError> {
        self.write_all(std::slice::from_ref(event)).map(|seqs| seqs.start)
    }

    /// When this returns, all events that were written have happened.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.refuse_if_broken()?;
        if !self.unsynced {
            return Ok(());
        }
        if let Err(source) = self.file.sync_data() {
            return Err(self.broken_by("sync", source));
        }
        self.unsynced = false;
        Ok(())
    }

    /// Writes several events with one sync. After a power loss any prefix of them may be what is left.
    ///
    /// A failure to write or sync is final: what the disk holds is then unknown, every later call is refused, and the
    /// run has to be opened again.
    pub fn append_all(&mut self, events: &[E]) -> Result<Range<u64>, JournalError> {
        let before = self.chain.offset;
        let seqs = self.write_all(events)?;
        if let Err(error) = self.sync() {
            // Best effort: lines that the caller is told were not written should not turn up at the next start.
            let _ = self.file.set_len(before);
            return Err(error);
        }
        Ok(seqs)
    }

    fn write_all(&mut self, events: &[E]) -> Result<Range<u64>, JournalError> {
        self.refuse_if_broken()?;
        let mut chain = self.chain.clone();
        let mut bytes = Vec::new();
        for event in events {
            let line = self.line(&mut chain, event)?;
            bytes.extend_from_slice(&line);
        }
        if !bytes.is_empty() {
            self.write(&bytes)?;
        }
        let seqs = self.chain.seq..chain.seq;
        self.chain = chain;
        Ok(seqs)
    }

    fn refuse_if_broken(&self) -> Result<(), JournalError> {
        if self.broken { Err(JournalError::Broken { path: self.path.clone() }) } else { Ok(()) }
    }

    fn broken_by(&mut self, doing: &'static str, source: std::io::Error) -> JournalError {
        self.broken = true;
        JournalError::io(&self.path, doing)(source)
    }

    /// A line that is known to read back: a number that is not finite becomes `null` in JSON, and a journal that
    /// cannot be opened again is found out too late.
    fn line(&self, chain: &mut Chain, event: &E) -> Result<Vec<u8>, JournalError> {
        let unwritable = |source| JournalError::Unwritable { path: self.path.clone(), source };
        let before = chain.clone();
        let line = encode(chain, (self.clock)(), event).map_err(unwritable)?;
        if line.len() > MAX_LINE {
            return Err(JournalError::TooLong { path: self.path.clone(), line: before.line() });
        }
        line::parse::<E>(&line[..line.len() - 1]).map_err(unwritable)?;
        Ok(line)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        if let Err(source) = self.file.write_all(bytes) {
            // Best effort, as above.
            let _ = self.file.set_len(self.chain.offset);
            return Err(self.broken_by("append to", source));
        }
        self.unsynced = true;
        Ok(())
    }
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => JournalError::InUse { path: path.to_owned() },
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

/// Seconds since 1970, for people to read: no decision looks at it.
fn wall_clock() -> f64 {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_micros() as f64,
        Err(before) => -(before.duration().as_micros() as f64),
    };
    micros / 1e6
}

#[cfg(test)]
mod tests;
