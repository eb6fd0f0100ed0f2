//! Journal: the events of a run, one JSON object a line, appended, synced and chained by digests.
//!
//! The journal is the truth of a run: whatever is not in it did not happen. This file owns how lines reach the disk;
//! [`mod@line`] says what a line is, [`reader`] reads them back. Nothing here knows what an event means, rewrites a line
//! that was once written whole, or repairs a journal whose middle is damaged.
//!
//! A journal that is in its place has its first event. Until then it is a [`Draft`] beside its place, which keeps others
//! away as a journal does; a crash leaves a draft that the next one takes over.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::marker::PhantomData;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::error::JournalError;
use crate::journal::line::{Chain, Digest, Entry, MAX_LINE, Place, encode};
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
    /// The stamp of the last line that was written.
    time: Option<f64>,
    broken: bool,
    event: PhantomData<fn(E)>,
}

/// A journal that is not in its place yet, since nothing has happened. It holds the lock that the journal will hold.
#[derive(Debug)]
#[must_use = "a journal is there once its first event is"]
pub struct Draft<E>(Journal<E>);

/// A journal that nobody else appends to, and this process not yet: it is to be read first.
#[derive(Debug)]
pub struct LockedJournal<E> {
    path: PathBuf,
    file: File,
    event: PhantomData<fn(E)>,
}

/// The end of a journal all of whose lines were checked.
#[derive(Debug)]
pub struct End {
    chain: Chain,
    /// The unfinished line behind it, if there is one.
    pub torn: Option<TornLine>,
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
    /// Begins a journal in a folder that exists. Refuses to touch a journal that is there, or one that another process
    /// is beginning; takes over what a crash left of one.
    pub fn create(path: &Path) -> Result<Draft<E>, JournalError> {
        let aside = draft(path);
        let file = OpenOptions::new().append(true).create(true).open(&aside);
        let file = file.map_err(JournalError::io(path, "create"))?;
        lock(&file, path)?;
        // Asked under the lock: whoever had it before may have moved this very file to its place.
        if path.exists() {
            let _ = fs::remove_file(&aside);
            return Err(JournalError::Exists { path: path.to_owned() });
        }
        file.set_len(0).map_err(JournalError::io(path, "empty the draft of"))?;
        // Before anything else is in the folder: by the draft it is known whose it is.
        sync_folders(path)?;
        Ok(Draft(Self::at(path, file, Chain::default())))
    }

    /// Takes the lock of a journal that is there; nothing of it is read yet, and nothing changed.
    pub fn hold(path: &Path) -> Result<LockedJournal<E>, JournalError> {
        let file = OpenOptions::new().append(true).open(path).map_err(JournalError::opening(path))?;
        lock(&file, path)?;
        Ok(LockedJournal { path: path.to_owned(), file, event: PhantomData })
    }

    /// Opens a journal for appending: checks every line, and cuts off a last line that was never finished.
    pub fn open(path: &Path) -> Result<Opened<E>, JournalError>
    where
        E: Send,
    {
        let (held, mut entries) = (Self::hold(path)?, Vec::new());
        let end = held.read_after(None, |entry| {
            entries.push(entry);
            Ok::<_, JournalError>(())
        })?;
        let torn = end.torn;
        Ok(Opened { journal: held.go_on(end)?, entries, torn })
    }

    fn at(path: &Path, file: File, chain: Chain) -> Self {
        Self {
            path: path.to_owned(),
            file,
            synced: chain.offset,
            chain,
            clock: Clock::start(),
            time: None,
            broken: false,
            event: PhantomData,
        }
    }

    /// Stamps the lines to come with this time, so that tests can expect bytes.
    #[must_use]
    pub fn stopped_at(mut self, time: f64) -> Self {
        self.clock = Clock { began: time, running: None };
        self
    }

    /// Where the next event's line will begin, and the digest of the last one's.
    pub fn end(&self) -> (u64, Option<Digest>) {
        (self.chain.offset, self.chain.digest)
    }

    /// The same as a place; `None` before the first event.
    pub fn place(&self) -> Option<Place> {
        let Chain { seq, offset, digest } = self.chain;
        digest.map(|digest| Place { seq, offset, digest })
    }

    /// What the last line is stamped with; `None` before this process has written one.
    pub fn time(&self) -> Option<f64> {
        self.time
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

    /// Writes several events with one sync. After a power loss any prefix of them may be what is left.
    ///
    /// A failure to write or sync is final: what the disk holds is then unknown, every later call is refused, and the
    /// run has to be opened again.
    pub fn append_all(&mut self, events: &[E]) -> Result<Range<u64>, JournalError> {
        let seqs = self.write_all(events)?;
        self.sync()?;
        Ok(seqs)
    }

    fn write_all(&mut self, events: &[E]) -> Result<Range<u64>, JournalError> {
        self.refuse_if_broken()?;
        let mut chain = self.chain.clone();
        let (mut bytes, mut time) = (Vec::new(), self.time);
        for event in events {
            let now = self.clock.now();
            let line = self.line(&mut chain, now, event)?;
            bytes.extend_from_slice(&line);
            time = Some(now);
        }
        if !bytes.is_empty() {
            self.write(&bytes)?;
        }
        let seqs = self.chain.seq..chain.seq;
        (self.chain, self.time) = (chain, time);
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
    fn line(&self, chain: &mut Chain, time: f64, event: &E) -> Result<Vec<u8>, JournalError> {
        let unwritable = |source| JournalError::Unwritable { path: self.path.clone(), source };
        let before = chain.clone();
        let line = encode(chain, time, event).map_err(unwritable)?;
        if line.len() > MAX_LINE {
            return Err(JournalError::TooLong { path: self.path.clone(), line: before.line() });
        }
        crate::journal::line::parse::<E>(&line[..line.len() - 1]).map_err(unwritable)?;
        Ok(line)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        if let Err(source) = self.file.write_all(bytes) {
            // Best effort: what was not written whole is dropped by the next one to open the journal.
            let _ = self.file.set_len(self.chain.offset);
            return Err(self.broken_by("append to", source));
        }
        Ok(())
    }
}

impl<E: Serialize + DeserializeOwned + Send> LockedJournal<E> {
    /// Whether there is a line that ends at this place, with this digest.
    pub fn has(&self, place: &Place) -> bool {
        let ending = place.ending();
        let mut found = vec![0; ending.len()];
        let begin = place.offset.checked_sub(ending.len() as u64);
        let read = begin.map(|begin| File::open(&self.path).and_then(|file| file.read_exact_at(&mut found, begin)));
        matches!(read, Some(Ok(()))) && found == ending
    }

    /// Checks every line, and gives `each` the events after `place`, one that the journal [has](Self::has), in order.
    /// What the lines before say is not looked at: it is what it was when somebody had the digest of that place.
    pub fn read_after<X: From<JournalError>>(
        &self,
        place: Option<Place>,
        each: impl FnMut(Entry<E>) -> Result<(), X>,
    ) -> Result<End, X> {
        let reader = scan(&self.path, place.map_or(0, |place| place.offset), each)?;
        Ok(End { torn: reader.torn(), chain: reader.into_chain() })
    }

    /// Goes on from its end, and cuts off what is behind it.
    pub fn go_on(self, end: End) -> Result<Journal<E>, JournalError> {
        let Self { path, file, .. } = self;
        if end.torn.is_some() {
            file.set_len(end.chain.offset).map_err(JournalError::io(&path, "cut the torn last line off"))?;
        }
        // Also when nothing was torn: the lines may have been written by a harness that died before its sync, and what
        // follows builds on them.
        file.sync_all().map_err(JournalError::io(&path, "sync"))?;
        Ok(Journal::at(&path, file, end.chain))
    }
}

impl<E: Serialize + DeserializeOwned> Draft<E> {
    /// Writes the first events, and moves the journal to its place once they are on the disk.
    pub fn begin(self, events: &[E]) -> Result<Journal<E>, JournalError> {
        let Self(mut journal) = self;
        journal.append_all(events)?;
        fs::rename(draft(&journal.path), &journal.path).map_err(JournalError::io(&journal.path, "put in its place"))?;
        sync_folders(&journal.path)?;
        Ok(journal)
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
/// evenly from there, whatever becomes of that one, so that the times of a session tell how long it took.
#[derive(Clone, Copy, Debug)]
struct Clock {
    began: f64,
    /// None: it stands still.
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
