//! Hostile and broken files: the readers accept or reject any bytes.
//!
//! `PROPTEST_CASES=1000000 cargo test --release -p packevolve-evaluator trace::fuzz` searches longer. Each finding is
//! kept in `tests/testdata/loads`, with its fate.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Pieces to insert at random places.
const PIECES: [&[u8]; 24] = [
    b"-1",
    b"-0",
    b"1e15",
    b"1e16",
    b"1e999",
    b"NaN",
    b"Infinity",
    b"null",
    b"18446744073709551616",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\"",
    b"\n",
    b"\r\n",
    b"\xff",
    b"\0",
    b"\"logical_count\": ",
    b"(1000000000000,)",
    b"18446744073709551615",
    b"'<f8'",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
];

/// A change to a file.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Byte(Index, u8),
    Cut(Index, usize),
    End(Index),
    Insert(Index, &'static [u8]),
    Repeat(Index, usize),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), 1..9_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        at().prop_map(Change::End),
        (at(), select(&PIECES[..])).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (at(), 1..40_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

pub(crate) fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match change {
            Change::Byte(at, byte) => bytes[at.index(length)] = *byte,
            Change::Cut(at, cut) => drop(bytes.drain(at.index(length)..(at.index(length) + cut).min(length))),
            Change::End(at) => bytes.truncate(at.index(length)),
            Change::Insert(at, piece) => drop(bytes.splice(at.index(length)..at.index(length), piece.iter().copied())),
            Change::Repeat(at, repeated) => {
                let from = at.index(length);
                let again = bytes[from..(from + repeated).min(length)].to_vec();
                drop(bytes.splice(from..from, again));
            }
        }
    }
    bytes
}

/// Files that can be read, by format.
fn valid() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let text = |format, text: &str| (format, text.as_bytes().to_vec());
    let npy = |descr: &str, shape: &str, bytes: usize| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let start = [&b"\x93NUMPY\x01\x00\x76\x00"[..], format!("{header:<117}\n").as_bytes()].concat();
        (Format::Npy, [start, vec![1; bytes]].concat())
    };
    select(vec![
        text(Format::Csv, "1,2,3\n4,5.5,6e3\n\n0,0,0\n"),
        text(Format::Json, "{\"logical_count\": [[0, 0], [1.0, 2e3], [3, 4]], \"rank\": [0, {\"a\": \"b\"}]}"),
        text(
            Format::Json,
            "{\"load_history\": [{\"logical_expert_load\": [[1, 2],\n [3, 4]]},\n{\"t\": 1, \
             \"logical_expert_load\": [[5, 6], [7, 8]]}]}",
        ),
        npy("<f4", "(2, 3)", 24),
        npy("<f8", "(2, 1, 3)", 48),
        npy("<i4", "(3, 1)", 12),
        npy("<i8", "(1, 2, 2)", 32),
    ])
}

/// Reads `bytes`, which may fail, but only in words that name the file and have an end.
fn read_or_rejected(format: Format, bytes: &[u8]) -> Result<Vec<Window>, String> {
    let path = Path::new("w");
    let read = match format {
        Format::Csv => csv::window(path, bytes).map(|window| vec![window]),
        Format::Json => json::windows(path, bytes),
        Format::Npy => npy::windows(path, bytes, bytes.len() as u64),
    };
    let read = read.map_err(|error| error.to_string());
    match &read {
        Ok(windows) => {
            assert!(!windows.is_empty());
            let shape = |window: &Window| (window.layers, window.experts);
            assert!(windows.iter().all(|window| shape(window) == shape(&windows[0])));
            assert!(windows.iter().map(|window| window.counts.len()).sum::<usize>() <= bytes.len());
        }
        Err(message) => assert!(message.starts_with('w') && message.chars().count() < 500, "{message}"),
    }
    read
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_rejected(bytes in vec(any::<u8>(), 0..2000)) {
        for format in [Format::Csv, Format::Json, Format::Npy] {
            let _ = read_or_rejected(format, &bytes);
        }
    }

    #[test]
    fn a_changed_file_is_read_or_rejected((format, bytes) in valid(), changes in vec(change(), 1..6)) {
        let _ = read_or_rejected(format, &changed(bytes, &changes));
    }
}

proptest! {
    #[test]
    fn a_file_that_was_cut_is_never_read_as_if_it_were_whole((format, bytes) in valid(), at in any::<Index>()) {
        let cut = &bytes[..at.index(bytes.len())];
        if format != Format::Csv && !(bytes.ends_with(b"\n") && cut.len() + 1 == bytes.len()) {
            prop_assert!(read_or_rejected(format, cut).is_err());
        }
    }

    #[test]
    fn loads_are_the_same_in_all_formats(
        experts in 1..6_usize,
        numbers in vec(0..1_000_000_u32, 1..40),
    ) {
        let layers = numbers.len().div_ceil(experts);
        let loads: Vec<u32> = numbers.iter().copied().cycle().take(layers * experts).collect();
        let lines = |open: &str, close: &str, between: &str| {
            let line = |line: &[u32]| line.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            loads.chunks(experts).map(|layer| format!("{open}{}{close}", line(layer))).collect::<Vec<_>>().join(between)
        };
        let csv = read_or_rejected(Format::Csv, lines("", "", "\n").as_bytes()).unwrap();
        let layers_of_json = lines("[", "]", ",");
        let sums = format!("{{\"logical_count\": [{layers_of_json}]}}");
        let steps = format!("{{\"load_history\": [{{\"logical_expert_load\": [{layers_of_json}]}}]}}");
        prop_assert_eq!(&csv, &read_or_rejected(Format::Json, sums.as_bytes()).unwrap());
        prop_assert_eq!(&csv, &read_or_rejected(Format::Json, steps.as_bytes()).unwrap());
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({layers}, {experts}), }}");
        let numbers: Vec<u8> = loads.iter().flat_map(|load| (*load as f32).to_le_bytes()).collect();
        let npy = [&b"\x93NUMPY\x01\x00\x76\x00"[..], format!("{header:<117}\n").as_bytes(), &numbers].concat();
        prop_assert_eq!(&csv, &read_or_rejected(Format::Npy, &npy).unwrap());
    }
}

/// The table of `tests/testdata/loads`: a file and its fate, `read` or the end of the message.
fn fates() -> (PathBuf, Vec<(String, String)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/testdata/loads");
    let table = fs::read_to_string(folder.join("fates.txt")).unwrap();
    let rows = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = rows.map(|row| row.split_once(' ').expect("a file and its fate"));
    let rows = rows.map(|(file, fate)| (file.to_owned(), fate.trim().to_owned())).collect();
    (folder, rows)
}

#[test]
fn every_file_of_the_table_meets_its_fate() {
    let topology = Topology { layers: 2, experts: 3, groups: 1, nodes: 1, gpus: 1, replicas: 3 };
    let (folder, rows) = fates();
    for (file, fate) in &rows {
        match read(&folder.join(file), &topology) {
            Ok(windows) => assert_eq!(fate, &format!("read, windows: {}", windows.len()), "{file}"),
            Err(error) => {
                let error = error.to_string();
                let (_, message) = error.split_once(file).expect("the file is named");
                assert_eq!(message.trim_start_matches([',', ':', ' ']), fate, "{file}");
            }
        }
    }
    let mut named: Vec<_> = rows.into_iter().map(|(file, _)| file).collect();
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<_> = entries.filter(|name| name != "fates.txt").collect();
    named.sort();
    there.sort();
    assert_eq!(named, there);
}
