//! The raw requests to language models and their replies, one JSON object a line, beside the journal.
//!
//! A line is synced before the journal names its offset and digest. A line that no event names is a leftover of a crash
//! and means nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::values::digest::Digest;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::ExchangeRef;
use crate::values::raw_text::RawText;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub request: RawText,
    /// The received part of the body; `None`: nothing.
    pub reply: Option<RawText>,
}

#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The operating system refused.
    #[error("{}: cannot {doing} it", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    /// The file has another line at this offset, or none.
    #[error("{}: the line at byte {offset} is not the exchange that the journal names", path.display())]
    Damaged {
        path: PathBuf,
        /// Where the line was to begin.
        offset: u64,
    },
}

impl Classify for ExchangeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } if source.kind() != io::ErrorKind::NotFound => ErrorKind::Failure,
            Self::Io { .. } | Self::Damaged { .. } => ErrorKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        (self.kind() == ErrorKind::Input).then(|| "only a backup of exchanges.jsonl has it".to_owned())
    }
}

/// The file of a run's exchanges; the first exchange creates it.
#[derive(Debug)]
pub struct Exchanges {
    path: PathBuf,
    /// Open for writing, with its length.
    writer: Option<(File, u64)>,
}

impl Exchanges {
    /// The file need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path, writer: None }
    }

    /// Appends an exchange, synced.
    ///
    /// # Errors
    /// The operating system fails.
    pub fn append(&mut self, exchange: &Exchange) -> Result<ExchangeRef, ExchangeError> {
        let mut line = serde_json::to_vec(exchange).expect("BUG: texts can be written as JSON");
        let digest = Digest::of(&line);
        line.push(b'\n');
        let failed = |source| ExchangeError::Io { path: self.path.clone(), doing: "append to", source };
        let (mut file, offset) = match self.writer.take() {
            Some(open) => open,
            None => open_to_append(&self.path).map_err(failed)?,
        };
        file.write_all(&line).and_then(|()| file.sync_data()).map_err(failed)?;
        self.writer = Some((file, offset + line.len() as u64));
        Ok(ExchangeRef { offset, digest })
    }

    /// Reads an exchange that the journal names.
    ///
    /// # Errors
    /// The file cannot be read, or it was changed.
    pub fn read(&self, wanted: ExchangeRef) -> Result<Exchange, ExchangeError> {
        let line = line_at(&self.path, wanted);
        let line = line.map_err(|source| ExchangeError::Io { path: self.path.clone(), doing: "read", source })?;
        let exchange = line.and_then(|line| serde_json::from_slice(&line).ok());
        exchange.ok_or_else(|| ExchangeError::Damaged { path: self.path.clone(), offset: wanted.offset })
    }
}

/// Opens the file and ends an unfinished last line, which a crash left and no event names.
fn open_to_append(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut length = file.metadata()?.len();
    if let Some(last_at) = length.checked_sub(1) {
        let mut last = [0];
        file.read_exact_at(&mut last, last_at)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            length += 1;
        }
    }
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok((file, length))
}

/// The line at the place of an exchange, without its newline, if it has the digest; a long line of another is not kept.
fn line_at(path: &Path, wanted: ExchangeRef) -> io::Result<Option<Vec<u8>>> {
    let mut file = BufReader::new(File::open(path)?);
    file.seek(SeekFrom::Start(wanted.offset))?;
    let (digest, length) = Digest::of_line(&mut file)?;
    if digest != wanted.digest {
        return Ok(None);
    }
    let mut line = vec![0; length as usize];
    file.get_ref().read_exact_at(&mut line, wanted.offset)?;
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(request: &[u8], reply: Option<&[u8]>) -> Exchange {
        let raw = |bytes: &[u8]| RawText(bytes.to_vec());
        Exchange { request: raw(request), reply: reply.map(raw) }
    }

    #[test]
    fn what_was_appended_reads_back_by_its_ref() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exchanges.jsonl");
        let all = [exchange(b"{\"a\": 1}", Some(b"b\nc")), exchange(b"\xff", None), exchange(b"", Some(b""))];
        let mut exchanges = Exchanges::new(path.clone());
        let refs: Vec<ExchangeRef> = all[..2].iter().map(|one| exchanges.append(one).unwrap()).collect();
        let last = Exchanges::new(path.clone()).append(&all[2]).unwrap();
        let reader = Exchanges::new(path);
        for (expected, at) in all.iter().zip([refs[0], refs[1], last]) {
            assert_eq!(reader.read(at).unwrap(), *expected);
        }
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next_is_written_and_nothing_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exchanges.jsonl");
        let first = Exchanges::new(path.clone()).append(&exchange(b"one", None)).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"request\":\"to").unwrap();
        let second = Exchanges::new(path.clone()).append(&exchange(b"two", None)).unwrap();
        // An editor may take the last newline.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        let third = Exchanges::new(path.clone()).append(&exchange(b"three", None)).unwrap();
        let reader = Exchanges::new(path);
        for (at, text) in [(first, &b"one"[..]), (second, b"two"), (third, b"three")] {
            assert_eq!(reader.read(at).unwrap(), exchange(text, None));
        }
    }

    #[test]
    fn a_changed_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exchanges.jsonl");
        let at = Exchanges::new(path.clone()).append(&exchange(b"one", Some(b"two"))).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replace("two", "TWO");
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Exchanges::new(path.clone()).read(at), Err(ExchangeError::Damaged { offset: 0, .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Exchanges::new(path).read(at), Err(ExchangeError::Io { .. })));
    }
}
