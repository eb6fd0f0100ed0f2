//! Snapshot: what the lines of a long journal come to up to a place in it, in a file beside it, so that `resume` need not
//! make sense of a gigabyte again.
//!
//! A view, as the index is: whatever it holds can be folded from the journal, and is where it is missing. It is used only
//! if the journal has that place, with the digest of all lines before it, if its own checksum holds, and by the very
//! build of the harness that wrote it, as another one might fold those lines to something else. Nobody but `resume` and
//! `fsck` looks at it. It is written aside and takes its place once it is on the disk; no error of it ends a run.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::journal::{Digest, Place};
use crate::search::Search;
use crate::trail::Trail;

/// What the file begins with; another version begins otherwise.
const MAGIC: [u8; 16] = *b"packevolve-snap1";
/// What a file ends with, and what stands for the build: a SHA-256.
const SUM: usize = 32;
/// The magic, the place, the build.
const HEAD: usize = 16 + 32 + SUM;
/// What is read or written at a time.
const BUFFER: usize = 1 << 20;
/// One is written when so many bytes of the journal came since the last one: to fold those takes a second or two.
const EVERY: u64 = 96 << 20;
/// At the end of a run one is written for so many times less.
const AT_END: u64 = 4;

type Sum = [u8; SUM];

/// What a run has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// After which lines of the journal.
    pub place: Place,
    /// The state of the search then.
    pub search: Search,
    /// What it carries along.
    pub trail: Trail,
}

/// Why a snapshot is of no use to anybody.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum Flaw {
    #[error("it is of another journal, or of lines that were lost")]
    OtherJournal,
    #[error("it is damaged")]
    Damaged(#[source] io::Error),
}

impl Snapshot {
    /// The snapshot of a run; `None` if there is none, or only one of another build. `has` says whether the journal has a
    /// place.
    ///
    /// # Errors
    /// One that can be removed.
    pub fn read(path: &Path, has: impl FnOnce(&Place) -> bool) -> Result<Option<Self>, Flaw> {
        let Ok(file) = File::open(path) else { return Ok(None) };
        let Head { place, build } = match Head::read(&mut &file).map_err(Flaw::Damaged)? {
            Some(head) if has(&head.place) => head,
            Some(_) => return Err(Flaw::OtherJournal),
            None => return Ok(None),
        };
        if own_build().ok() != Some(build) {
            return Ok(None);
        }
        let (search, trail) = whole(&file).map_err(Flaw::Damaged)?;
        Ok(Some(Self { place, search, trail }))
    }
}

/// What a snapshot begins with.
struct Head {
    place: Place,
    build: Sum,
}

impl Head {
    /// `None` of a file of another kind.
    fn read(file: &mut impl Read) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEAD];
        file.read_exact(&mut bytes)?;
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("BUG: a word has eight bytes"));
        let digest = Digest::from_bytes(bytes[32..48].try_into().expect("BUG: a digest has its length"));
        let place = Place { seq: word(16), offset: word(24), digest };
        let build = bytes[48..].try_into().expect("BUG: a head has its length");
        Ok(bytes.starts_with(&MAGIC).then_some(Self { place, build }))
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let Place { seq, offset, digest } = self.place;
        file.write_all(&MAGIC)?;
        file.write_all(&seq.to_le_bytes())?;
        file.write_all(&offset.to_le_bytes())?;
        file.write_all(&digest.to_bytes())?;
        file.write_all(&self.build)
    }
}

/// What follows the head of a file, if the file is whole.
fn whole<T: DeserializeOwned>(mut file: &File) -> io::Result<T> {
    file.rewind()?;
    let length = file.metadata()?.len().saturating_sub(SUM as u64);
    let mut summed = BufReader::with_capacity(BUFFER, Summed::new(file.take(length)));
    summed.read_exact(&mut [0; HEAD])?;
    let body = rmp_serde::from_read(&mut summed).map_err(io::Error::other)?;
    let rest = io::copy(&mut summed, &mut io::sink())?;
    let (sum, _) = summed.into_inner().finish();
    let mut written = Sum::default();
    file.read_exact(&mut written)?;
    if (rest, written) == (0, sum) { Ok(body) } else { Err(io::Error::other("its checksum is wrong")) }
}

/// What this process runs, as a digest.
fn own_build() -> io::Result<Sum> {
    let mut sum = Summed::new(io::sink());
    io::copy(&mut File::open("/proc/self/exe")?, &mut sum)?;
    Ok(sum.finish().0)
}

/// Reads or writes, and has the checksum of all that went through.
struct Summed<F> {
    inner: F,
    sum: Sha256,
}

impl<F> Summed<F> {
    fn new(inner: F) -> Self {
        Self { inner, sum: Sha256::new() }
    }

    fn finish(self) -> (Sum, F) {
        (self.sum.finalize().into(), self.inner)
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.sum.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes the snapshots of a live run.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    every: u64,
    /// The end of the journal when the last one was written.
    last: u64,
}

impl Writer {
    /// For a run of which a snapshot up to this place was read.
    pub fn new(path: &Path, last: Option<Place>) -> Self {
        Self { path: path.to_owned(), every: EVERY, last: last.map_or(0, |place| place.offset) }
    }

    /// Writes one whenever the journal has grown by so many bytes.
    #[must_use]
    pub fn every(self, bytes: u64) -> Self {
        Self { every: bytes, ..self }
    }

    /// Whether the journal has grown by enough, up to there.
    pub fn is_due(&self, end: u64) -> bool {
        end - self.last >= self.every
    }

    /// Whether the end of a run is worth one.
    pub fn is_due_at_end(&self, end: u64) -> bool {
        end - self.last >= self.every / AT_END
    }

    /// Writes one. What the journal holds up to `place` is on the disk, and kept by the archive.
    pub fn write(&mut self, place: Place, search: &Search, trail: &Trail) {
        // One that cannot be written is not tried again at once.
        self.last = place.offset;
        if let Err(error) = self.try_to_write(place, &(search, trail)) {
            tracing::warn!(path = %self.path.display(), %error, "cannot write a snapshot");
            let _ = fs::remove_file(aside(&self.path));
        }
    }

    fn try_to_write(&self, place: Place, body: &impl Serialize) -> io::Result<()> {
        let aside = aside(&self.path);
        let mut summed = BufWriter::with_capacity(BUFFER, Summed::new(File::create(&aside)?));
        Head { place, build: own_build()? }.write(&mut summed)?;
        rmp_serde::encode::write_named(&mut summed, body).map_err(io::Error::other)?;
        let (sum, mut file) = summed.into_inner().map_err(io::IntoInnerError::into_error)?.finish();
        file.write_all(&sum)?;
        file.sync_all()?;
        fs::rename(&aside, &self.path)
    }
}

/// Where a snapshot is before it is whole.
pub fn aside(path: &Path) -> PathBuf {
    path.with_added_extension("new")
}

/// Removes what a crash has left of a snapshot, and the snapshot itself unless it `is_good`.
pub fn clear(path: &Path, is_good: bool) {
    let _ = fs::remove_file(aside(path));
    if !is_good {
        let _ = fs::remove_file(path);
    }
}
