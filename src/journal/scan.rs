//! Reads a whole journal on all CPUs. Never writes.
//!
//! A line is chained to the digest at the end of the line before, so blocks of lines can be checked in parallel: each
//! block assumes the number and digest before it, and the block before it checks them. On any error, the [`Reader`]
//! reads the same lines again and names the problem; it also reads the rest at the end.

use std::fs::File;
use std::io::{self, BufRead, Read as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::de::DeserializeOwned;

use crate::journal::error::JournalError;
use crate::journal::line::{Chain, Entry, MAX_LINE, decode};
use crate::journal::reader::{Reader, TornLine};

/// Bytes of a block.
const BLOCK: usize = 1 << 20;
/// More do not help: one thread applies what they read.
const MOST_WORKERS: usize = 4;

/// Whole lines with the chain before them.
struct LineBlock {
    chain: Chain,
    lines: Vec<u8>,
}

/// The entries of a block and the chain after them; `None` on any error.
type Decoded<E> = Option<(Vec<Entry<E>>, Chain)>;

/// A block to decode, with the channel for its result.
type Job<E> = (LineBlock, SyncSender<Decoded<E>>);

#[derive(Debug)]
pub struct Read<E> {
    pub entries: Vec<Entry<E>>,
    /// The unfinished last line, if there is one; it stays in the file.
    pub torn: Option<TornLine>,
}

/// Reads a whole journal; the run may be live.
pub fn read<E: DeserializeOwned + Send>(path: &Path) -> Result<Read<E>, JournalError> {
    let mut entries = Vec::new();
    let torn = read_each(path, |entry| {
        entries.push(entry);
        Ok::<_, JournalError>(())
    })?;
    Ok(Read { entries, torn })
}

/// Calls `each` for every event of a journal, in order; the run may be live. Checks and parses on all CPUs and keeps
/// nothing, because the journal of a long run may exceed memory.
pub fn read_each<E: DeserializeOwned + Send, X: From<JournalError>>(
    path: &Path,
    each: impl FnMut(Entry<E>) -> Result<(), X>,
) -> Result<Option<TornLine>, X> {
    scan(path, each).map(|reader| reader.torn())
}

/// Calls `each` for the events of a journal, in order, and returns a reader of the rest.
pub(super) fn scan<E: DeserializeOwned + Send, X: From<JournalError>>(
    path: &Path,
    mut each: impl FnMut(Entry<E>) -> Result<(), X>,
) -> Result<Reader<E>, X> {
    let file = File::open(path).map_err(JournalError::opening(path))?;
    let chain = blocks_of(file, BLOCK, &mut each)?;
    let mut reader = Reader::open_at(path, chain)?;
    for entry in reader.by_ref() {
        each(entry?)?;
    }
    Ok(reader)
}

/// Scans whole blocks up to the first error, and returns the chain after them.
fn blocks_of<E: DeserializeOwned + Send, X>(
    file: impl io::Read + Send,
    size: usize,
    each: &mut impl FnMut(Entry<E>) -> Result<(), X>,
) -> Result<Chain, X> {
    let workers = thread::available_parallelism().map_or(1, |count| count.get().min(MOST_WORKERS));
    let (orders, jobs) = sync_channel::<Job<E>>(workers);
    let (results, in_order) = sync_channel::<Receiver<Decoded<E>>>(2 * workers);
    let jobs = Mutex::new(jobs);
    thread::scope(|scope| {
        scope.spawn(move || cut(file, size, &orders, &results));
        for _ in 0..workers {
            scope.spawn(|| work(&jobs));
        }
        // Dropped at the end of this function, so that an early return stops all workers.
        let in_order = in_order;
        let mut chain = Chain::default();
        for result in &in_order {
            let Ok(Some((entries, after))) = result.recv() else { break };
            entries.into_iter().try_for_each(&mut *each)?;
            chain = after;
        }
        Ok(chain)
    })
}

/// Cuts a journal into blocks and sends them, until its end or until the receivers are gone.
fn cut<E>(
    mut file: impl io::Read,
    size: usize,
    orders: &SyncSender<Job<E>>,
    results: &SyncSender<Receiver<Decoded<E>>>,
) {
    let mut chain = Chain::default();
    let mut lines = Vec::new();
    // The reader meets the same error again.
    while let Some(rest) = fill(&mut file, size, &mut lines).ok().flatten() {
        let last = lines.len() - 1;
        let begin = lines[..last].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let Some(next) = Chain::after(&lines[begin..last], chain.offset + lines.len() as u64) else { return };
        let (sender, receiver) = sync_channel(1);
        let block =
            LineBlock { chain: std::mem::replace(&mut chain, next), lines: std::mem::replace(&mut lines, rest) };
        if results.send(receiver).is_err() || orders.send((block, sender)).is_err() {
            return;
        }
    }
}

/// Reads until `lines` is a block of whole lines, and returns the bytes after it; `None` at the end.
fn fill(file: &mut impl io::Read, size: usize, lines: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    while lines.len() <= MAX_LINE {
        let read = file.by_ref().take(size as u64).read_to_end(lines)?;
        let end = lines.iter().rposition(|byte| *byte == b'\n');
        if let Some(end) = end.filter(|_| lines.len() >= size || read == 0) {
            let mut rest = Vec::with_capacity(2 * size);
            rest.extend(lines.drain(end + 1..));
            return Ok(Some(rest));
        }
        if read == 0 {
            break;
        }
    }
    Ok(None)
}

fn work<E: DeserializeOwned>(jobs: &Mutex<Receiver<Job<E>>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((block, sender)) = job else { return };
        // The receiver may be gone.
        let _ = sender.send(decoded(block));
    }
}

fn decoded<E: DeserializeOwned>(block: LineBlock) -> Decoded<E> {
    let LineBlock { mut chain, lines } = block;
    // Short lines are a few hundred bytes, long ones thousands.
    let (mut entries, mut rest) = (Vec::with_capacity(lines.len() / 2048), lines.as_slice());
    while !rest.is_empty() {
        // Several times as fast as checking each byte.
        let length = (&mut &*rest).skip_until(b'\n').expect("BUG: reading from memory cannot fail");
        let (line, after) = rest.split_at(length);
        let line = &line[..length - 1];
        entries.push(decode(&mut chain, line).ok()?);
        rest = after;
    }
    Some((entries, chain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;
    use std::convert::Infallible;
    use tempfile::TempDir;

    /// A journal of `count` lines, its bytes, and the digests of its lines.
    fn journal(lines: usize) -> (Vec<u8>, Vec<String>) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal.jsonl");
        let events: Vec<String> = (0..lines).map(|line| "x".repeat(line * 7 % 90)).collect();
        let (mut journal, _) = Journal::create(&path).unwrap().begin(&events[0]).unwrap();
        events[1..].iter().for_each(|event| {
            journal.append(event).unwrap();
        });
        drop(journal);
        let mut digests = Vec::new();
        let collected = scan(&path, |entry: Entry<String>| {
            digests.push(entry.digest.to_string());
            Ok::<_, JournalError>(())
        });
        collected.unwrap();
        (std::fs::read(&path).unwrap(), digests)
    }

    fn seen(bytes: &[u8], size: usize) -> (Vec<String>, Chain) {
        let mut digests = Vec::new();
        let chain = blocks_of(bytes, size, &mut |entry: Entry<String>| {
            digests.push(entry.digest.to_string());
            Ok::<_, Infallible>(())
        });
        let Ok(chain) = chain;
        (digests, chain)
    }

    #[test]
    fn blocks_of_any_size_give_the_same_lines_in_order() {
        let (bytes, digests) = journal(200);
        for size in [1, 50, 100, 1000, 5000, bytes.len(), 1 << 20] {
            let (found, chain) = seen(&bytes, size);
            assert_eq!((found.len(), chain.offset, chain.seq), (200, bytes.len() as u64, 200), "{size}");
            assert_eq!(found, digests);
        }
    }

    #[test]
    fn every_error_is_left_to_the_reader_with_all_before_its_block() {
        let (bytes, digests) = journal(60);
        for position in (0..bytes.len()).step_by(11) {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            let line = bytes[..position].iter().filter(|byte| **byte == b'\n').count();
            for size in [1, 300] {
                let (found, chain) = seen(&changed, size);
                assert!(found.len() <= line && chain.seq as usize == found.len(), "byte {position}");
                assert_eq!(found, digests[..found.len()]);
                assert!(size > 1 || found.len() + 1 >= line, "byte {position}: {} of {line} lines", found.len());
            }
        }
    }

    #[test]
    fn a_line_without_its_end_is_left_to_the_reader() {
        let (bytes, _) = journal(20);
        for cut in 0..bytes.len() {
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            let (found, chain) = seen(&bytes[..cut], 100);
            assert_eq!((found.len(), chain.seq as usize), (whole, whole), "cut at byte {cut}");
        }
    }

    #[test]
    fn who_takes_the_lines_in_may_stop() {
        let (bytes, _) = journal(200);
        let mut count = 0;
        let stopped = blocks_of(&bytes[..], 100, &mut |_: Entry<String>| {
            count += 1;
            if count == 30 { Err(()) } else { Ok(()) }
        });
        assert!(stopped.is_err() && count == 30);
    }
}
