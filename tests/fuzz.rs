//! What broken or hostile bytes can do to the readers of proposals and journals: they are read or refused.
//!
//! `PROPTEST_CASES=1000000 cargo test --release -p packevolve --test main fuzz` searches longer. What was found once is
//! kept as a test of its own.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use packevolve::archive::programs::derive;
use packevolve::edit::proposal::Proposal;
use packevolve::journal;
use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::values::event::Event;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{forged, repository, text_of};

/// Pieces that are put where they do not belong.
const PIECES: [&str; 32] = [
    "<NAME>\n",
    "</NAME>\n",
    "<DESCRIPTION>\n",
    "</DESCRIPTION>\n",
    "<DIFF>\n",
    "</DIFF>\n",
    "<<<<<<< SEARCH\n",
    "=======\n",
    ">>>>>>> REPLACE\n",
    "# EVOLVE-BLOCK-END\n",
    "\n",
    "\r\n",
    "\r",
    "\u{2028}",
    "\u{0}",
    "\u{feff}",
    " ",
    "é",
    "\"",
    "{",
    "}",
    "[",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\ud800",
    "\"type\":",
    "\"digest\":\"",
    "4294967295",
    "0.1",
    "true",
];

/// Some of the golden run's events: one of each kind is among them.
static EVENTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let text = fs::read_to_string(golden_journal()).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].clone()).take(12).collect()
});
static SEED: LazyLock<String> = LazyLock::new(|| text_of("candidates/eplb.py"));
static DOCUMENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let folder = repository("candidates/proposals");
    fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
});

fn golden_journal() -> PathBuf {
    repository("tests/testdata/golden/journal.jsonl")
}

/// A change to a text.
#[derive(Clone, Debug)]
enum Change {
    Cut(Index, usize),
    End(Index),
    Insert(Index, &'static str),
    Move(Index, Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        1 => (at(), 1..30_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        1 => at().prop_map(Change::End),
        4 => (at(), select(&PIECES[..])).prop_map(|(at, piece)| Change::Insert(at, piece)),
        2 => (at(), at(), 1..200_usize).prop_map(|(from, to, length)| Change::Move(from, to, length)),
    ]
}

fn changed(bytes: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for change in changes {
        let length = bytes.len() + 1;
        let part = |at: &Index, part: usize| at.index(length)..(at.index(length) + part).min(length - 1);
        match change {
            Change::Cut(at, cut) => drop(bytes.drain(part(at, *cut))),
            Change::End(at) => bytes.truncate(at.index(length)),
            Change::Insert(at, piece) => drop(bytes.splice(at.index(length)..at.index(length), piece.bytes())),
            Change::Move(from, to, moved) => {
                let copy = bytes[part(from, *moved)].to_vec();
                drop(bytes.splice(to.index(length)..to.index(length), copy));
            }
        }
    }
    bytes
}

/// A document that is a proposal is printed so that it reads the same, and its edit applies or is declined.
fn read_or_refused(document: &[u8]) {
    let _ = derive(&SEED, document);
    let Ok(text) = std::str::from_utf8(document) else { return };
    match Proposal::parse(text) {
        Ok(proposal) => assert_eq!(Proposal::parse(&proposal.to_string()).unwrap(), proposal),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Events in a journal whose digests are right: what is wrong with them is reported by the reader or by the fold.
fn folded_or_refused(events: &[Value]) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal.jsonl");
    forged::write(&path, events);
    if let Err(error) = Run::open(RunFolder::new(folder.path().to_owned())) {
        assert!(error.to_string().contains("journal.jsonl"), "{error}");
    }
}

#[test]
fn the_first_events_of_the_golden_run_are_a_run() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal.jsonl");
    forged::write(&path, &EVENTS);
    assert!(Run::open(RunFolder::new(folder.path().to_owned())).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_a_proposal_or_refused(bytes in vec(any::<u8>(), 0..500), pieces in vec(select(&PIECES[..]), 0..40)) {
        read_or_refused(&bytes);
        read_or_refused(pieces.concat().as_bytes());
    }

    #[test]
    fn a_changed_proposal_is_read_or_refused(which: Index, changes in vec(change(), 1..6)) {
        read_or_refused(&changed(which.get(&DOCUMENTS).as_bytes(), &changes));
    }

    #[test]
    fn a_changed_journal_is_refused_at_the_changed_line_or_torn(changes in vec(change(), 1..4)) {
        let bytes = fs::read(golden_journal()).unwrap();
        let start: usize = bytes.split_inclusive(|byte| *byte == b'\n').take(12).map(<[u8]>::len).sum();
        let (whole, changed) = (&bytes[..start], changed(&bytes[..start], &changes));
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal.jsonl");
        fs::write(&path, &changed).unwrap();
        match journal::read::<Event>(&path) {
            // What is believed stands there byte for byte; the rest is the line that was never finished.
            Ok(read) => {
                let torn = read.torn.map_or(0, |torn| torn.bytes) as usize;
                prop_assert!(whole.starts_with(&changed[..changed.len() - torn]));
            }
            Err(error) => prop_assert!(error.to_string().contains("journal.jsonl"), "{}", error),
        }
    }

    #[test]
    fn an_invented_event_is_refused_or_folded(which: Index, changes in vec(change(), 1..4)) {
        let mut events = EVENTS.clone();
        let event = which.index(events.len());
        let text = changed(events[event].to_string().as_bytes(), &changes);
        if let Ok(value) = serde_json::from_slice(&text) {
            events[event] = value;
            folded_or_refused(&events);
        }
    }

    #[test]
    fn events_in_any_order_are_refused_or_folded(order in vec(any::<Index>(), 1..16)) {
        let events: Vec<Value> = order.iter().map(|which| which.get(&EVENTS).clone()).collect();
        folded_or_refused(&events);
        let started = [vec![EVENTS[0].clone()], events].concat();
        folded_or_refused(&started);
    }
}
