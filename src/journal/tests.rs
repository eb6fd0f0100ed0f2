//! What a journal promises: nothing that was changed is believed, nothing that was synced is lost.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::*;
use crate::journal::reader::{Events, Reader};
use crate::journal::scan::{Read, read};
use crate::values::digest::Digest;
use crate::values::error_kind::Classify;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Event {
    Proposed { candidate: u64, text: String },
    Measured { seconds: Vec<f64> },
    Ended,
}

/// An event of a program that came later.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum LaterEvent {
    Migrated { island: u64 },
}

fn proposed(candidate: u64) -> Event {
    Event::Proposed { candidate, text: "größer\n\"=\"".into() }
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal.jsonl");
    (folder, path)
}

/// A journal opened for appending, and what it holds so far.
#[derive(Debug)]
struct Opened {
    journal: Journal<Event>,
    entries: Vec<Entry<Event>>,
    torn: Option<TornLine>,
}

fn open(path: &Path) -> Result<Opened, JournalError> {
    let mut entries = Vec::new();
    let (journal, torn) = Journal::open(path, |entry| {
        entries.push(entry);
        Ok::<_, JournalError>(())
    })?;
    Ok(Opened { journal, entries, torn })
}

/// An empty one, which is in its place.
fn created(path: &Path) -> Journal<Event> {
    fs::write(path, b"").unwrap();
    open(path).unwrap().journal
}

fn append_all(journal: &mut Journal<Event>, events: &[Event]) {
    events.iter().for_each(|event| {
        journal.append(event).unwrap();
    });
    journal.sync().unwrap();
}

fn write_events(path: &Path, events: &[Event]) -> Vec<u8> {
    let mut journal = created(path).stopped_at(1.5);
    append_all(&mut journal, events);
    fs::read(path).unwrap()
}

fn events(entries: &[Entry<Event>]) -> Vec<Event> {
    entries.iter().map(|entry| entry.event.clone()).collect()
}

fn read_bytes(path: &Path, bytes: &[u8]) -> Result<Read<Event>, JournalError> {
    fs::write(path, bytes).unwrap();
    read(path)
}

/// The line that an error names.
fn named_line(error: &JournalError) -> Option<u64> {
    match error {
        JournalError::OtherVersion { line, .. }
        | JournalError::NotUtf8 { line, .. }
        | JournalError::NotJson { line, .. }
        | JournalError::Damaged { line, .. }
        | JournalError::OutOfOrder { line, .. }
        | JournalError::UnknownEvent { line, .. }
        | JournalError::TooLong { line, .. } => Some(*line),
        _ => None,
    }
}

/// The same chain with lines of the caller's making, digests right: what only a program could have written.
fn forge(bodies: &[&str]) -> String {
    let (mut journal, mut previous) = (String::new(), None);
    for body in bodies {
        let digest = Digest::chained(previous, body.as_bytes());
        journal += &format!(
            "{body},\"digest\":\"{digest}\"}}
"
        );
        previous = Some(digest);
    }
    journal
}

#[test]
fn what_was_appended_reads_back_across_openings() {
    let (_folder, path) = place();
    let mut journal = created(&path);
    let offsets = [proposed(1), proposed(2), Event::Ended].map(|event| journal.append(&event).unwrap().offset);
    drop(journal);

    let Opened { mut journal, entries, torn } = open(&path).unwrap();
    assert_eq!((events(&entries), torn), (vec![proposed(1), proposed(2), Event::Ended], None));
    assert_eq!(entries.iter().map(|entry| entry.offset).collect::<Vec<_>>(), offsets);
    let single = Events::<Event>::open(&path).unwrap();
    assert_eq!(offsets.map(|offset| single.at(offset).unwrap()), [proposed(1), proposed(2), Event::Ended]);
    journal.append(&Event::Ended).unwrap();

    let read = read::<Event>(&path).unwrap();
    assert_eq!(read.entries.iter().map(Entry::line).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(read.entries[..3], entries[..]);
    assert!(read.entries.iter().all(|entry| entry.time > 1.7e9), "wall time");
}

#[test]
fn an_empty_journal_opens() {
    let (_folder, path) = place();
    assert_eq!(write_events(&path, &[]), b"");
    assert!(open(&path).unwrap().entries.is_empty());
}

#[test]
fn an_existing_journal_is_not_overwritten() {
    let (_folder, path) = place();
    let bytes = write_events(&path, &[Event::Ended]);
    assert!(matches!(Journal::<Event>::create(&path), Err(JournalError::Exists { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_journal_is_in_its_place_when_its_first_event_is_and_a_draft_of_it_keeps_others_away() {
    let (_folder, path) = place();
    let first = Journal::create(&path).unwrap();
    assert!(!path.exists());
    assert!(matches!(Journal::<Event>::create(&path), Err(JournalError::InUse { .. })));
    let mut journal = first.begin(&proposed(1)).unwrap().0;
    assert!(!draft(&path).exists());
    assert!(matches!(open(&path), Err(JournalError::InUse { .. })));
    assert!(matches!(Journal::<Event>::create(&path), Err(JournalError::Exists { .. })));
    assert!(!draft(&path).exists(), "who was refused leaves nothing");
    journal.append(&proposed(2)).unwrap();
    drop(journal);
    assert_eq!(read::<Event>(&path).unwrap().entries.len(), 2);
}

#[test]
fn what_a_crash_left_of_a_draft_is_taken_over() {
    let (_folder, path) = place();
    fs::write(draft(&path), b"{\"version\":1,\"seq\":0,\"ti").unwrap();
    drop(Journal::create(&path).unwrap().begin(&proposed(1)).unwrap());
    let read = read::<Event>(&path).unwrap();
    assert_eq!((events(&read.entries), read.torn), (vec![proposed(1)], None));
}

#[test]
fn times_of_a_session_never_go_back() {
    let (_folder, path) = place();
    let mut journal = created(&path);
    for number in 0..100 {
        journal.append(&proposed(number)).unwrap();
    }
    journal.sync().unwrap();
    let times: Vec<f64> = read::<Event>(&path).unwrap().entries.iter().map(|entry| entry.time).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let (_folder, path) = place();
    let mut first = created(&path);
    first.append(&Event::Ended).unwrap();
    assert!(matches!(open(&path), Err(JournalError::InUse { .. })));
    assert_eq!(read::<Event>(&path).unwrap().entries.len(), 1);
    drop(first);
    open(&path).unwrap();
}

#[test]
#[ignore = "the child of the test below"]
fn a_harness_that_holds_the_lock() {
    let path = std::env::var_os("PACKEVOLVE_TEST_JOURNAL").unwrap();
    let _held = created(Path::new(&path));
    println!("locked");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn the_lock_of_a_killed_harness_does_not_outlive_it() {
    let (_folder, path) = place();
    let inner = ["--exact", "--ignored", "--nocapture", "journal::writer::tests::a_harness_that_holds_the_lock"];
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(inner).env("PACKEVOLVE_TEST_JOURNAL", &path).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("locked")));
    assert!(matches!(open(&path), Err(JournalError::InUse { .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    open(&path).unwrap();
}

#[test]
fn a_torn_last_line_is_left_by_readers_and_cut_off_by_the_writer() {
    let (_folder, path) = place();
    let whole = write_events(&path, &[proposed(1)]);
    let torn_bytes = [&whole[..], b"{\"version\":1,\"seq\":1,"].concat();
    let torn = Some(TornLine { line: 2, offset: whole.len() as u64, bytes: 21 });

    let read = read_bytes(&path, &torn_bytes).unwrap();
    assert_eq!((events(&read.entries), read.torn), (vec![proposed(1)], torn));
    assert_eq!(fs::read(&path).unwrap(), torn_bytes);

    let mut opened = open(&path).unwrap();
    assert_eq!((events(&opened.entries), opened.torn), (vec![proposed(1)], torn));
    assert_eq!(fs::read(&path).unwrap(), whole);
    opened.journal.append(&Event::Ended).unwrap();
    assert_eq!(events(&crate::journal::scan::read(&path).unwrap().entries), [proposed(1), Event::Ended]);
}

#[test]
fn a_tail_of_zeros_left_by_a_power_loss_is_torn() {
    let (_folder, path) = place();
    let mut bytes = write_events(&path, &[proposed(1)]);
    bytes.extend([0; 5000]);
    let read = read_bytes(&path, &bytes).unwrap();
    assert_eq!((read.entries.len(), read.torn.unwrap().bytes), (1, 5000));
}

#[test]
fn a_live_journal_can_be_followed() {
    let (_folder, path) = place();
    let mut journal = created(&path);
    let mut reader = Reader::<Event>::open(&path).unwrap();
    assert!(reader.next().is_none());
    for candidate in 0..3 {
        journal.append(&proposed(candidate)).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().event, proposed(candidate));
        assert!(reader.next().is_none());
    }
}

#[test]
fn a_line_met_half_written_is_read_once_it_is_whole() {
    let (_folder, path) = place();
    let whole = write_events(&path, &[proposed(1), Event::Ended]);
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let mut reader = Reader::<Event>::open(&path).unwrap();
        let before = reader.by_ref().count();
        fs::write(&path, &whole).unwrap();
        assert_eq!(before + reader.by_ref().map(Result::unwrap).count(), 2, "cut at byte {cut}");
        assert_eq!(reader.torn(), None);
    }
}

#[test]
fn any_changed_byte_is_refused_with_the_number_of_its_line() {
    let (_folder, path) = place();
    let whole = write_events(&path, &[proposed(1), Event::Measured { seconds: vec![0.1, 2e-7] }, Event::Ended]);
    for position in 0..whole.len() {
        let line = 1 + whole[..position].iter().filter(|byte| **byte == b'\n').count() as u64;
        let bits = (0..8).map(|bit| whole[position] ^ 1 << bit);
        for byte in bits.chain(*b"\0\n \"0\xff").filter(|byte| *byte != whole[position]) {
            let mut bytes = whole.clone();
            bytes[position] = byte;
            let result = read_bytes(&path, &bytes);
            if position + 1 == whole.len() {
                let read = result.unwrap();
                assert_eq!((read.entries.len(), read.torn.unwrap().line), (2, 3));
            } else {
                let error = result.expect_err("a changed byte");
                assert_eq!(named_line(&error), Some(line), "byte {position} made {byte:#x}: {error}");
            }
        }
    }
}

#[test]
fn white_space_and_the_order_of_keys_are_part_of_a_line() {
    let (_folder, path) = place();
    let line = String::from_utf8(write_events(&path, &[Event::Ended])).unwrap();
    let spaced = line.replace(":{", ": {");
    let swapped = line.replace("\"version\":2,\"seq\":0", "\"seq\":0,\"version\":2");
    for changed in [spaced, swapped] {
        assert_ne!(changed, line);
        assert!(matches!(read_bytes(&path, changed.as_bytes()), Err(JournalError::Damaged { line: 1, .. })));
    }
}

#[test]
fn swapped_missing_and_repeated_lines_are_out_of_order() {
    let (_folder, path) = place();
    let whole = String::from_utf8(write_events(&path, &[proposed(1), proposed(2), proposed(3)])).unwrap();
    let [a, b, c] = whole.split_inclusive('\n').collect::<Vec<_>>()[..] else { panic!("three lines") };
    for (lines, at, was) in [([b, a, c].concat(), 1, 1), ([a, c].concat(), 2, 2), ([a, b, b, c].concat(), 3, 1)] {
        match read_bytes(&path, lines.as_bytes()) {
            Err(JournalError::OutOfOrder { line, found, .. }) => assert_eq!((line, found), (at, was)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_sequence_gap_with_right_digests_is_refused() {
    let (_folder, path) = place();
    let body = |seq| format!(r#"{{"version":2,"seq":{seq},"time":0.0,"event":{{"type":"ended"}}"#);
    let journal = forge(&[&body(0), &body(2)]);
    let result = read_bytes(&path, journal.as_bytes());
    assert!(matches!(result, Err(JournalError::OutOfOrder { line: 2, expected: 1, found: 2, .. })), "{result:?}");
}

#[test]
fn another_version_is_refused_with_any_digest() {
    let (_folder, path) = place();
    let body = r#"{"version":1,"seq":0,"time":0.0,"event":{"type":"ended"},"extra":1"#;
    for journal in [forge(&[body]), format!("{body},\"digest\":\"of another kind\"}}\n")] {
        let error = read_bytes(&path, journal.as_bytes()).unwrap_err();
        assert!(matches!(error, JournalError::OtherVersion { line: 1, version: 1, .. }), "{error}");
        assert!(error.to_string().contains("has version 1"), "{error}");
    }
}

#[test]
fn an_unknown_event_is_refused_with_its_line_and_a_hint() {
    let (_folder, path) = place();
    write_events(&path, &[Event::Ended]);
    let journal = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    drop(Journal::create(&path).unwrap().begin(&LaterEvent::Migrated { island: 3 }).unwrap());
    let error = read::<Event>(&path).unwrap_err();
    assert!(matches!(error, JournalError::UnknownEvent { line: 1, .. }), "{error}");
    assert!(error.hint().is_some(), "{error}");
    assert!(read_bytes(&path, journal.as_bytes()).is_ok());
}

#[test]
fn an_invalid_journal_is_refused_with_its_line() {
    let (_folder, path) = place();
    let not_json = read_bytes(&path, b"# notes\n").unwrap_err();
    assert!(matches!(not_json, JournalError::NotJson { line: 1, .. }), "{not_json}");
    let not_utf8 = read_bytes(&path, b"\xff\xfe\n").unwrap_err();
    assert!(matches!(not_utf8, JournalError::NotUtf8 { line: 1, .. }), "{not_utf8}");
    let empty_line = read_bytes(&path, b"\n").unwrap_err();
    assert!(matches!(empty_line, JournalError::NotJson { line: 1, .. }), "{empty_line}");
}

#[test]
fn a_damaged_journal_is_refused_for_appending_and_left_unchanged() {
    let (_folder, path) = place();
    let mut bytes = write_events(&path, &[proposed(1), proposed(2)]);
    bytes[60] ^= 1;
    bytes.extend(b"torn");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(named_line(&open(&path).unwrap_err()), Some(1));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_missing_journal_is_named_and_not_made() {
    let (_folder, path) = place();
    assert!(matches!(open(&path), Err(JournalError::Missing { .. })));
    let error = read::<Event>(&path).unwrap_err();
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    assert!(!path.exists());
}

#[test]
fn an_event_that_would_not_read_back_is_refused_before_it_is_written() {
    let (_folder, path) = place();
    write_events(&path, &[Event::Ended]);
    let before = fs::read(&path).unwrap();
    let mut journal = open(&path).unwrap().journal;
    let unreadable = Event::Measured { seconds: vec![f64::NAN] };
    assert!(matches!(journal.append(&unreadable), Err(JournalError::Unwritable { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    journal.append(&Event::Ended).unwrap();
    assert_eq!(events(&read::<Event>(&path).unwrap().entries), [Event::Ended, Event::Ended]);
}

#[test]
fn after_a_failed_write_nothing_more_is_written() {
    let (_folder, path) = place();
    let mut journal = created(&path);
    journal.append(&proposed(1)).unwrap();
    journal.file = File::open(&path).unwrap();
    assert!(matches!(journal.append(&proposed(2)), Err(JournalError::Io { .. })));
    assert!(matches!(journal.append(&proposed(2)), Err(JournalError::Broken { .. })));
    assert_eq!(read::<Event>(&path).unwrap().entries.len(), 1);
}

fn any_event() -> impl Strategy<Value = Event> {
    let finite = any::<u64>().prop_map(f64::from_bits).prop_filter("JSON has finite numbers only", |x| x.is_finite());
    prop_oneof![
        (any::<u64>(), ".*").prop_map(|(candidate, text)| Event::Proposed { candidate, text }),
        prop::collection::vec(finite, 0..5).prop_map(|seconds| Event::Measured { seconds }),
        Just(Event::Ended),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_journal_cut_at_any_byte_reads_as_a_prefix_and_can_be_continued(
        written in prop::collection::vec(any_event(), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let (_folder, path) = place();
        let whole = write_events(&path, &written);
        let cut = cut.index(whole.len() + 1);
        let lines = whole[..cut].iter().filter(|byte| **byte == b'\n').count();

        let read = read_bytes(&path, &whole[..cut]).unwrap();
        prop_assert_eq!(events(&read.entries), &written[..lines]);
        prop_assert_eq!(read.torn.is_some(), cut > 0 && whole[cut - 1] != b'\n');

        let mut journal = open(&path).unwrap().journal.stopped_at(1.5);
        append_all(&mut journal, &written[lines..]);
        prop_assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn numbers_read_back_bit_for_bit(events in prop::collection::vec(any_event(), 1..6)) {
        let (_folder, path) = place();
        write_events(&path, &events);
        for (entry, event) in read::<Event>(&path).unwrap().entries.iter().zip(&events) {
            let bits = |event: &Event| match event {
                Event::Measured { seconds } => seconds.iter().map(|x| x.to_bits()).collect(),
                _ => Vec::new(),
            };
            prop_assert_eq!(bits(&entry.event), bits(event));
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_folder, path) = place();
        let _ = read_bytes(&path, &bytes);
    }
}
