//! Reads the events of a journal in order and checks each line. Never writes.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek, SeekFrom};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::journal::error::JournalError;
use crate::journal::line::{Chain, Entry, Flaw, MAX_LINE, decode, parse};

/// A last line without its newline: the harness died while writing it, or is writing it now. It did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornLine {
    /// Its number, from one.
    pub line: u64,
    /// Its first byte in the file.
    pub offset: u64,
    /// The number of its bytes.
    pub bytes: u64,
}

impl fmt::Display for TornLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {} ends after {} bytes, without a newline: it was never finished and is dropped",
            self.line, self.bytes
        )
    }
}

/// Yields the events of a journal. After the end it yields events that were appended since, so that a caller can follow
/// a live run; after an error it yields nothing.
#[derive(Debug)]
pub struct Reader<E> {
    path: PathBuf,
    file: BufReader<File>,
    chain: Chain,
    line: Vec<u8>,
    torn: Option<TornLine>,
    failed: bool,
    event: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> Reader<E> {
    /// Opens a journal at its first line.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Self::open_at(path, Chain::default())
    }

    /// Opens a journal at the line after `chain`.
    pub(super) fn open_at(path: &Path, chain: Chain) -> Result<Self, JournalError> {
        let mut file = File::open(path).map_err(JournalError::opening(path))?;
        file.seek(SeekFrom::Start(chain.offset)).map_err(JournalError::io(path, "read"))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(1 << 16, file),
            chain,
            line: Vec::new(),
            torn: None,
            failed: false,
            event: PhantomData,
        })
    }

    /// The unfinished line at the end, if there is one.
    pub fn torn(&self) -> Option<TornLine> {
        self.torn
    }

    /// The chain before the next line.
    pub(super) fn into_chain(self) -> Chain {
        self.chain
    }

    fn step(&mut self) -> Result<Option<Entry<E>>, JournalError> {
        let whole = self.fill_line().map_err(JournalError::io(&self.path, "read"))?;
        if self.line.len() > MAX_LINE {
            return Err(JournalError::TooLong { path: self.path.clone(), line: self.chain.line() });
        }
        if !whole {
            return Ok(None);
        }
        let line = &self.line[..self.line.len() - 1];
        let entry = decode(&mut self.chain, line).map_err(|flaw| refusal(&self.path, &self.chain, flaw))?;
        Ok(Some(entry))
    }

    /// Reads up to the next newline; at the end of the file, returns to the start of the unfinished line.
    fn fill_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.torn = None;
        self.file.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.line)?;
        if self.line.ends_with(b"\n") {
            return Ok(true);
        }
        if !self.line.is_empty() {
            let bytes = self.line.len() as u64;
            self.torn = Some(TornLine { line: self.chain.line(), offset: self.chain.offset, bytes });
            self.file.seek(SeekFrom::Start(self.chain.offset))?;
        }
        Ok(false)
    }
}

impl<E: DeserializeOwned> Iterator for Reader<E> {
    type Item = Result<Entry<E>, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.step().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

/// Reads single events by offset, from a journal that was checked before.
#[derive(Debug)]
pub struct Events<E> {
    path: PathBuf,
    file: File,
    event: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> Events<E> {
    /// Opens a journal.
    ///
    /// # Errors
    /// The operating system fails.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(JournalError::opening(path))?;
        Ok(Self { path: path.to_owned(), file, event: PhantomData })
    }

    /// The event of the line at `offset`. Does not check the digest again.
    ///
    /// # Errors
    /// The system fails, or there is no event at `offset`.
    pub fn at(&self, offset: u64) -> Result<E, JournalError> {
        let mut file = BufReader::with_capacity(1 << 14, &self.file);
        let mut line = Vec::new();
        let read = file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| file.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line));
        read.map_err(JournalError::io(&self.path, "read"))?;
        let event = parse(line.strip_suffix(b"\n").unwrap_or(&line));
        event.map_err(|source| JournalError::Changed { path: self.path.clone(), offset, source })
    }
}

fn refusal(path: &Path, chain: &Chain, flaw: Flaw) -> JournalError {
    let (path, line) = (path.to_owned(), chain.line());
    match flaw {
        Flaw::NotUtf8 => JournalError::NotUtf8 { path, line },
        Flaw::NotJson(source) => JournalError::NotJson { path, line, source },
        Flaw::OtherVersion { version } => JournalError::OtherVersion { path, line, version },
        Flaw::OutOfOrder { found } => JournalError::OutOfOrder { path, line, expected: chain.seq, found },
        Flaw::Damaged => JournalError::Damaged { path, line },
        Flaw::UnknownEvent(source) => JournalError::UnknownEvent { path, line, source },
    }
}
