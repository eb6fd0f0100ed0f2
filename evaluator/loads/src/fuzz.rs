//! Hostile and broken files: the readers accept or reject any bytes.
//!
//! `PROPTEST_CASES=1000000 cargo test --release -p packevolve-loads fuzz` searches longer. Each finding is kept in
//! `tests/testdata/loads`, with its fate.

use std::fs;
use std::path::{Path, PathBuf};

use packevolve_contract::topology::Topology;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::made::{gzip, npy, per_pass, safetensors, saved, stat, torch, zip};
use crate::read::read;
use crate::source::LoadsAt;
use crate::window::Window;

#[path = "../../../tests/support/changed.rs"]
mod changed;

use changed::{change, changed};

/// The names that readers go by.
const NAMES: [&str; 9] = ["w.csv", "w.json", "w.jsonl", "w.npy", "w.npz", "w.pt", "w.safetensors", "w.csv.gz", "w"];

/// Files that can be read.
fn valid() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let text = |name, text: &str| (name, text.as_bytes().to_vec());
    let array = npy("<i4", "(3, 1)", &[1; 12]);
    select(vec![
        text("w.csv", "1,2,3\n4,5.5,6e3\n\n0,0,0\n"),
        text("w.csv", "sep=;\n\"layer\";\"e0\";\"e1\"\n3;1;2\n4;5;6\n"),
        text("w.csv", "layer_id,expert_id,count\n3,0,1\n3,1,2\n4,0,5\n4,1,6\n"),
        text("w.json", "{\"logical_count\": [[0, 0], [1.0, 2e3], [3, 4]], \"rank\": [0, {\"a\": \"b\"}]}"),
        text("w.json", "{\"logical_count\": [[[0, 0], [1.0, 2e3]], [[0, 0], [0, 0]], [[3, 4], [5, 6]]]}"),
        text("w.json", "[[1, 2], [3, 4]]"),
        text(
            "w.json",
            "{\"load_history\": [{\"logical_expert_load\": [[1, 2],\n [3, 4]]},\n{\"t\": 1, \
             \"logical_expert_load\": [[5, 6], [7, 8]]}]}",
        ),
        text(
            "w.jsonl",
            "{\"record_type\": \"eplb_load_stats\", \"step\": 7, \"expert_load\": [[1, 2, 3]], \"p2l_map\": [[0, 1, 0]]}\n",
        ),
        ("w.npy", npy("<f2", "(2, 3)", &[1; 12])),
        ("w.npy", npy("<f8", "(2, 1, 3)", &[1; 48])),
        ("w.npy", array.clone()),
        ("w.npy", npy(">i8", "(1, 2, 2)", &[0, 0, 0, 0, 0, 0, 0, 1].repeat(4))),
        ("w.npz", zip(&[("arr_0.npy", &array)])),
        ("w.npy.gz", gzip(&array)),
        ("w.pt", stat(&[3, 2, 2], &[0, 0, 5, 6, 0, 0, 0, 0, 1, 2, 3, 4])),
        ("w.pt", stat(&[2, 2], &[1, 2, 3, 4])),
        ("w.pt", per_pass(0, &[[1, 2, 3], [4, 5, 6]], &[1, 0, 1])),
        ("w.pt", saved("HalfStorage", &[2, 2], &[1, 2], &[1; 8])),
        ("w.safetensors", safetensors(&[("10_3", [1, 2]), ("10_5", [3, 4])])),
    ])
}

/// Reads `bytes`, which may fail, but only in words that name the file and have an end.
fn read_or_rejected(name: &str, bytes: &[u8]) -> Result<Vec<Window>, String> {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("content");
    fs::write(&at, bytes).unwrap();
    let read = read(&[LoadsAt { name: name.into(), at }], None).map_err(|error| error.to_string());
    match &read {
        Ok(recording) => {
            let windows = &recording.windows;
            assert!(!windows.is_empty() && windows.len() == recording.spans.len());
            let shape = |window: &Window| (window.layers, window.experts);
            assert!(windows.iter().all(|window| shape(window) == shape(&windows[0])));
            let loads = windows.iter().map(|window| window.counts.len()).sum::<usize>();
            // Packed files may hold more than they are long.
            assert!(
                loads <= bytes.len() || bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"PK"),
                "{loads} loads"
            );
            assert!(recording.notes.iter().all(|note| note.to_string().len() < 500));
        }
        Err(message) => assert!(message.contains('w') && message.chars().count() < 500, "{message}"),
    }
    read.map(|recording| recording.windows)
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_rejected(bytes in vec(any::<u8>(), 0..2000)) {
        for name in NAMES {
            let _ = read_or_rejected(name, &bytes);
        }
    }

    #[test]
    fn a_changed_file_is_read_or_rejected((name, bytes) in valid(), changes in vec(change(), 1..6)) {
        let _ = read_or_rejected(name, &changed(bytes, &changes));
    }

    /// An archive around it is whole, so that the changes reach the pickle.
    #[test]
    fn a_changed_pickle_is_read_or_rejected(changes in vec(change(), 1..6)) {
        let whole = stat(&[2, 2], &[1, 2, 3, 4]);
        let (begin, end) = (b"\x80\x02}(", b"u.");
        let at = |part: &[u8]| whole.windows(part.len()).position(|bytes| bytes == part).unwrap();
        let pickle = whole[at(begin) + 2..=at(end)].to_vec();
        let numbers = [1, 2, 3, 4].map(i32::to_le_bytes).concat();
        let _ = read_or_rejected("w.pt", &torch(&changed(pickle, &changes), &[numbers]));
    }

    #[test]
    fn any_pickle_is_read_or_rejected(bytes in vec(any::<u8>(), 0..200)) {
        let _ = read_or_rejected("w.pt", &torch(&bytes, &[]));
    }
}

proptest! {
    #[test]
    fn a_file_that_was_cut_is_never_read_as_if_it_were_whole((name, bytes) in valid(), at in any::<Index>()) {
        let cut = &bytes[..at.index(bytes.len())];
        let is_whole = bytes.ends_with(b"\n") && cut.len() + 1 == bytes.len();
        if !name.ends_with(".csv") && !is_whole {
            prop_assert!(read_or_rejected(name, cut).is_err());
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
        let csv = read_or_rejected("w.csv", lines("", "", "\n").as_bytes()).unwrap();
        let layers_of_json = lines("[", "]", ",");
        let sums = format!("{{\"logical_count\": [{layers_of_json}]}}");
        let steps = format!("{{\"load_history\": [{{\"logical_expert_load\": [{layers_of_json}]}}]}}");
        prop_assert_eq!(&csv, &read_or_rejected("w.json", sums.as_bytes()).unwrap());
        prop_assert_eq!(&csv, &read_or_rejected("w.json", steps.as_bytes()).unwrap());
        let numbers: Vec<u8> = loads.iter().flat_map(|load| (*load as f32).to_le_bytes()).collect();
        let shape = format!("({layers}, {experts})");
        let npy = npy("<f4", &shape, &numbers);
        prop_assert_eq!(&csv, &read_or_rejected("w.npy", &npy).unwrap());
        let integers: Vec<i32> = loads.iter().map(|load| *load as i32).collect();
        prop_assert_eq!(&csv, &read_or_rejected("w.pt", &stat(&[layers, experts], &integers)).unwrap());
    }
}

/// The table of `tests/testdata/loads`: a file and its fate, `read` or the end of the message.
fn fates() -> (PathBuf, Vec<(String, String)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/testdata/loads");
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
    let mut others = Vec::new();
    for (file, fate) in &rows {
        let met = match read(&[LoadsAt::here(folder.join(file))], Some(&topology)) {
            Ok(recording) => format!("read, windows: {}", recording.windows.len()),
            Err(error) => {
                let error = error.to_string();
                let (_, message) = error.split_once(file).expect("the file is named");
                message.trim_start_matches([',', ':', ' ']).to_owned()
            }
        };
        if met != *fate {
            others.push(format!("{file:<30} {met}"));
        }
    }
    assert!(others.is_empty(), "other fates:\n{}", others.join("\n"));
    let mut named: Vec<_> = rows.into_iter().map(|(file, _)| file).collect();
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut there: Vec<_> = entries.filter(|name| name != "fates.txt").collect();
    named.sort();
    there.sort();
    assert_eq!(named, there);
}
