//! Dumps of engines: the given ones, which lie beside the checkout, give the windows that lie beside them. Without them
//! their tests are skipped.

use std::fs;
use std::path::{Path, PathBuf};

use packevolve_contract::topology::Topology;

use crate::read::{list, read};
use crate::recording::Recording;
use crate::source::LoadsAt;
use crate::window::Window;

#[path = "../../../tests/support/skip.rs"]
mod skip;

const STEPS: usize = 3;
/// Of the files, dense layer 0 left out.
const LAYERS: usize = 8;

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/dumps");
    if !folder.is_dir() {
        skip::skip("given-dumps", "there is no ../shared/dumps");
        return None;
    }
    Some(folder)
}

/// The model and deployment that the dumps were made with.
fn topology() -> Topology {
    Topology { layers: LAYERS, experts: 32, groups: 1, nodes: 1, gpus: 4, replicas: 36 }
}

/// Reads a file or folder, alike with and without a topology.
fn recorded(path: &Path) -> Recording {
    let files = list(path).unwrap().files;
    let with = read(&files, Some(&topology())).unwrap();
    assert_eq!(read(&files, None).unwrap().windows, with.windows);
    with
}

fn right(folder: &Path) -> Vec<Window> {
    let windows = read(&[LoadsAt::here(folder.join("right_windows.npy"))], None).unwrap().windows;
    assert_eq!(windows.len(), STEPS);
    for window in &windows {
        assert!((0..LAYERS).all(|layer| window.layer(layer).iter().sum::<f64>() == 16_384.0));
    }
    windows
}

fn summed(windows: &[Window]) -> Window {
    let of = |at: usize| windows.iter().map(|window| window.counts[at]).sum();
    Window::new(windows[0].experts, (0..windows[0].counts.len()).map(of).collect())
}

fn notes(recording: &Recording) -> Vec<&str> {
    recording.notes.iter().map(|note| &note.text[..]).collect()
}

const FIRST_MOE_LAYER: usize = 1;

fn assert_moe_layers(recording: &Recording) {
    assert_eq!(recording.layer_ids, Some((FIRST_MOE_LAYER..=LAYERS).collect()));
    assert_eq!(recording.dense_layers, [0]);
}

#[test]
fn sglang_s_ring_gives_its_filled_rows_without_the_dense_layer() {
    let Some(folder) = folder() else { return };
    for dump in ["sglang_stat", "sglang_stat_cuda"] {
        let recording = recorded(&folder.join(dump));
        assert_eq!(recording.windows, right(&folder), "{dump}");
        assert_moe_layers(&recording);
        assert_eq!(notes(&recording), ["2 of 5 rows have no load and are dropped"]);
        assert_eq!(recording.spans[0].written.map(|time| time as u64), Some(1_795_878_762));
    }
}

#[test]
fn sglang_s_ring_that_ends_inside_the_file_is_put_in_order() {
    let Some(folder) = folder() else { return };
    let recording = recorded(&folder.join("sglang_stat_ring"));
    assert_eq!(recording.windows, right(&folder));
    assert_eq!(
        notes(&recording),
        [
            "2 of 5 rows have no load and are dropped",
            "the recorder's ring ends inside the file: its rows are put in the order of recording"
        ]
    );
}

#[test]
fn sglang_s_passes_are_summed_over_ranks_and_replicas() {
    let Some(folder) = folder() else { return };
    let recording = recorded(&folder.join("sglang_per_pass"));
    assert_eq!(recording.windows, right(&folder));
    assert_moe_layers(&recording);
    assert_eq!((recording.replicas, recording.gpus), (Some(36), Some(4)));
    let passes: Vec<_> = recording.spans.iter().map(|span| span.passes).collect();
    assert_eq!(passes, [100, 101, 102].map(|pass| Some((pass, pass))));
    assert_eq!(notes(&recording), Vec::<&str>::new());
    let files = list(&folder.join("sglang_per_pass")).unwrap().files;
    let other = Topology { gpus: 8, replicas: 40, ..topology() };
    assert_eq!(
        notes(&read(&files, Some(&other)).unwrap()),
        ["recorded with 36 replicas, but the topology has 40", "recorded with 4 GPUs, but the topology has 8"]
    );
    let without_one = read(&files[1..], None).unwrap();
    assert!(notes(&without_one)[0].contains("only files of the ranks 1-3"), "{:?}", notes(&without_one));
}

#[test]
fn sglang_s_counts_as_json_and_npy_are_those_of_its_pt() {
    let Some(folder) = folder() else { return };
    for name in ["sglang_3d.json", "sglang_3d.npy"] {
        let recording = recorded(&folder.join("json").join(name));
        assert_eq!(recording.windows, right(&folder), "{name}");
        assert_moe_layers(&recording);
    }
    for name in ["sglang_2d.json", "sglang_2d_with_dense.json"] {
        let recording = recorded(&folder.join("json").join(name));
        assert_eq!(recording.windows, [summed(&right(&folder))], "{name}");
        assert_eq!(recording.layer_ids.is_some(), name.contains("dense"));
    }
}

#[test]
fn tensorrt_llm_s_statistics_are_summed_over_ranks() {
    let Some(folder) = folder() else { return };
    let recording = recorded(&folder.join("trtllm"));
    assert_eq!(recording.windows, right(&folder));
    assert_eq!(recording.layer_ids, Some((FIRST_MOE_LAYER..=LAYERS).collect()));
    assert_eq!((recording.gpus, recording.dense_layers.len()), (Some(4), 0));
    assert_eq!(recording.spans[2].passes, Some((102, 102)));
    assert_eq!(notes(&recording), Vec::<&str>::new());
}

#[test]
fn vllm_s_records_are_summed_over_replicas() {
    let Some(folder) = folder() else { return };
    let recording = recorded(&folder.join("vllm.jsonl"));
    assert_eq!(recording.windows, right(&folder));
    assert_eq!((recording.replicas, recording.gpus), (Some(36), Some(4)));
    assert!(recording.spans.iter().all(|span| span.passes.is_some()));
}

#[test]
fn csv_files_are_a_window_each() {
    let Some(folder) = folder() else { return };
    assert_eq!(recorded(&folder.join("csv")).windows, right(&folder));
}

/// All dumps, damaged.
#[test]
fn a_dump_that_was_cut_or_changed_is_refused() {
    let Some(folder) = folder() else { return };
    let copy = tempfile::tempdir().unwrap();
    let damaged = copy.path().join("damaged");
    let mut read_anyway = Vec::new();
    for file in files_below(&folder) {
        let name = file.strip_prefix(&folder).unwrap().to_owned();
        let is_binary =
            ["pt", "npy", "safetensors"].iter().any(|end| name.extension().is_some_and(|ends| ends == *end));
        if !is_binary {
            continue;
        }
        let bytes = fs::read(&file).unwrap();
        let read_damaged = |bytes: &[u8]| {
            fs::write(&damaged, bytes).unwrap();
            read(&[LoadsAt { name: name.clone(), at: damaged.clone() }], None)
        };
        for part in 1..40 {
            let at = bytes.len() * part / 40;
            let error = read_damaged(&bytes[..at]).unwrap_err().to_string();
            assert!(error.contains(&name.display().to_string()), "{error}");
            let mut changed = bytes.clone();
            changed[at] ^= 0x81;
            match read_damaged(&changed) {
                Ok(_) if name.extension().is_some_and(|ends| ends == "pt") => read_anyway.push((name.clone(), at)),
                // These have no checksums.
                Ok(_) => {}
                Err(error) => assert!(error.to_string().contains(&name.display().to_string()), "{error}"),
            }
        }
    }
    // Some bytes of an archive mean nothing: padding, dates, members that are not read.
    assert!(read_anyway.len() < 140, "{} changed files were read: {read_anyway:?}", read_anyway.len());
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}
