//! Index: where in a journal its events stand, of which candidates they are and what those score, in a file beside it. A
//! run of 100,000 candidates has a journal of a gigabyte, and most questions about it need a few lines.
//!
//! A view: written by the live run as it goes, made anew by `resume` as far as that reads the journal, never believed. It is used only if the last line
//! that it has is a line of the journal, with the same digest and so the same lines before it; whatever is shown is read
//! from the journal and checked there. Where it is missing or fits no longer, the journal itself is read, which takes
//! seconds. No error of it ends a run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::journal::{Digest, Place};
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::values::event::Event;

/// What the file begins with; another version begins otherwise, and is made anew.
const HEAD: [u8; 16] = *b"packevolve-idx-2";
/// Stands for no candidate.
const NONE: u64 = u64::MAX;
/// Bytes of a line's record.
const RECORD: usize = 58;

/// What a line tells, as far as one has to know to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something else.
    Other,
    /// The baseline was measured on the windows of the search.
    Baseline,
    /// The baseline was measured on the held-out windows.
    BaselineHeldOut,
    /// An attempt was decided on; its number.
    Selected,
    /// A candidate was made; its number.
    Created,
    /// A candidate was judged.
    Evaluated,
    /// A candidate became the best on the held-out windows.
    Confirmed,
    /// A candidate did not.
    Refuted,
}

const KINDS: [Kind; 8] = [
    Kind::Other,
    Kind::Baseline,
    Kind::BaselineHeldOut,
    Kind::Selected,
    Kind::Created,
    Kind::Evaluated,
    Kind::Confirmed,
    Kind::Refuted,
];

/// A line of the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its digest.
    pub digest: Digest,
    /// What it tells.
    pub kind: Kind,
    /// Of which attempt or candidate.
    pub number: u64,
    /// What that candidate scores from then on.
    pub score: Option<f64>,
    /// The best candidate from then on.
    pub best: Option<CandidateId>,
}

impl Line {
    /// The line of an event; `search` is the state right after it.
    pub fn of((offset, digest): (u64, Digest), event: &Event, search: &Search) -> Self {
        let (kind, number) = match event {
            Event::BaselineEvaluated { .. } => (Kind::Baseline, 0),
            Event::BaselineHeldOut { .. } => (Kind::BaselineHeldOut, 0),
            Event::Selected { attempt, .. } => (Kind::Selected, *attempt),
            Event::CandidateCreated(created) => (Kind::Created, created.candidate.0),
            Event::CandidateEvaluated { candidate, .. } => (Kind::Evaluated, candidate.0),
            Event::Confirmed { candidate, .. } => (Kind::Confirmed, candidate.0),
            Event::Refuted { candidate, .. } => (Kind::Refuted, candidate.0),
            _ => (Kind::Other, 0),
        };
        let scored = match kind {
            Kind::Baseline => search.baseline_is_seed(),
            Kind::Evaluated | Kind::Confirmed | Kind::Refuted => true,
            _ => false,
        };
        let scores = scored.then(|| search.scores_of(CandidateId(number))).flatten();
        let best = search.best().map(|best| best.candidate);
        Self { offset, digest, kind, number, score: scores.map(|scores| scores.combined_score), best }
    }

    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[0] = self.kind as u8;
        bytes[1] = u8::from(self.score.is_some());
        bytes[2..10].copy_from_slice(&self.offset.to_le_bytes());
        bytes[10..26].copy_from_slice(&self.digest.to_bytes());
        bytes[26..34].copy_from_slice(&self.number.to_le_bytes());
        bytes[34..42].copy_from_slice(&self.score.unwrap_or(0.0).to_le_bytes());
        let best = self.best.map_or(NONE, |best| best.0);
        bytes[42..50].copy_from_slice(&best.to_le_bytes());
        let sum = checksum(&bytes[..50]);
        bytes[50..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes[at..at + 8].try_into().expect("BUG: a record has its length");
        if checksum(&bytes[..50]) != u64::from_le_bytes(word(50)) {
            return None;
        }
        let (offset, score) = (u64::from_le_bytes(word(2)), f64::from_le_bytes(word(34)));
        // No file is longer.
        i64::try_from(offset).ok()?;
        Some(Self {
            offset,
            digest: Digest::from_bytes(bytes[10..26].try_into().ok()?),
            kind: *KINDS.get(usize::from(bytes[0]))?,
            number: u64::from_le_bytes(word(26)),
            score: (bytes[1] == 1).then_some(score),
            best: Some(u64::from_le_bytes(word(42))).filter(|best| *best != NONE).map(CandidateId),
        })
    }
}

/// FNV-1a (Fowler, Noll, Vo): notices damage, which is all that is asked of it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The index of a live run.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    /// None once it could not be written.
    file: Option<BufWriter<File>>,
}

impl Writer {
    /// Begins an index anew.
    pub fn create(path: &Path) -> Self {
        Self::with_file(path, File::create(path).and_then(|mut file| file.write_all(&HEAD).map(|()| file)))
    }

    /// Goes on with an index that [`has`] so many lines, and forgets the rest of it.
    pub fn go_on(path: &Path, lines: u64) -> Self {
        let end = HEAD.len() as u64 + lines * RECORD as u64;
        let opened = OpenOptions::new().append(true).open(path);
        Self::with_file(path, opened.and_then(|file| file.set_len(end).map(|()| file)))
    }

    fn with_file(path: &Path, file: io::Result<File>) -> Self {
        let mut writer = Self { path: path.to_owned(), file: None };
        match file {
            Ok(file) => writer.file = Some(BufWriter::with_capacity(1 << 16, file)),
            Err(error) => writer.give_up(&error),
        }
        writer
    }

    /// Adds the next line of the journal.
    pub fn add(&mut self, line: Line) {
        self.with(|file| file.write_all(&line.to_bytes()));
    }

    /// Lets readers see what was added.
    pub fn flush(&mut self) {
        self.with(BufWriter::flush);
    }

    fn with(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        if let Some(Err(error)) = self.file.as_mut().map(write) {
            self.give_up(&error);
        }
    }

    /// The run goes on without.
    fn give_up(&mut self, error: &io::Error) {
        tracing::warn!(path = %self.path.display(), %error, "cannot write the index");
        self.file = None;
        let _ = fs::remove_file(&self.path);
    }
}

/// The lines of an index, as far as they were written and are whole; none if there is no index that can be read.
pub fn read(path: &Path) -> Vec<Line> {
    let bytes = fs::read(path).unwrap_or_default();
    let Some(records) = bytes.strip_prefix(&HEAD) else { return Vec::new() };
    records.chunks_exact(RECORD).map_while(Line::from_bytes).collect()
}

/// Whether an index is whole up to a place in the journal.
pub fn has(path: &Path, place: &Place) -> bool {
    let last = usize::try_from(place.seq).ok().and_then(|count| count.checked_sub(1));
    last.is_some_and(|last| read(path).get(last).is_some_and(|line| line.digest == place.digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn lines() -> Vec<Line> {
        let line = |at: usize, kind: &Kind| Line {
            offset: 1 << (7 * at),
            digest: Digest::from_bytes([at as u8; 16]),
            kind: *kind,
            number: u64::MAX >> at,
            score: (at % 2 == 1).then_some(-0.1 * at as f64),
            best: (at % 3 == 1).then_some(CandidateId(at as u64)),
        };
        KINDS.iter().enumerate().map(|(at, kind)| line(at, kind)).collect()
    }

    #[test]
    fn an_index_reads_back_as_far_as_it_was_written() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("index");
        let mut writer = Writer::create(&path);
        lines().into_iter().for_each(|line| writer.add(line));
        writer.flush();
        assert_eq!(read(&path), lines());
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&path), lines()[..cut.saturating_sub(HEAD.len()) / RECORD]);
        }
    }

    #[test]
    fn an_index_that_has_a_place_goes_on_from_there() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("index");
        let mut writer = Writer::create(&path);
        lines().into_iter().for_each(|line| writer.add(line));
        writer.flush();
        let place = |seq: u64, digest: u8| Place { seq, offset: 0, digest: Digest::from_bytes([digest; 16]) };
        assert!(has(&path, &place(3, 2)) && has(&path, &place(8, 7)));
        assert!(!has(&path, &place(3, 3)) && !has(&path, &place(9, 8)) && !has(&path, &place(0, 0)));
        let mut writer = Writer::go_on(&path, 3);
        writer.add(lines()[6]);
        writer.flush();
        assert_eq!(read(&path), [&lines()[..3], &lines()[6..7]].concat());
        let mut damaged = fs::read(&path).unwrap();
        damaged[HEAD.len() + RECORD + 5] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(!has(&path, &place(3, 2)), "a line before it is damaged");
    }

    #[test]
    fn an_index_of_another_kind_or_none_has_no_lines() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("index");
        assert_eq!(read(&path), []);
        fs::write(&path, [b'x'; 200]).unwrap();
        assert_eq!(read(&path), []);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_no_trouble() {
        let folder = TempDir::new().unwrap();
        let mut writer = Writer::create(&folder.path().join("nowhere/index"));
        writer.add(lines()[0]);
        writer.flush();
    }
}
