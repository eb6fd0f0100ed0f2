//! Engines: what the readers make of small files of all engines. The files are made here.

use std::fs;

use packevolve_contract::topology::Topology;

use crate::error::LoadsError;
use crate::made::{gzip, npy, per_pass, safetensors, saved, stat, torch, zip};
use crate::read::{list, read};
use crate::recording::Recording;
use crate::source::LoadsAt;
use crate::window::Window;

fn recorded(files: &[(&str, Vec<u8>)], wanted: Option<&Topology>) -> Result<Recording, LoadsError> {
    let folder = tempfile::tempdir().unwrap();
    let place = |(number, (name, content)): (usize, &(&str, Vec<u8>))| {
        let at = folder.path().join(number.to_string());
        fs::write(&at, content).unwrap();
        LoadsAt { name: name.into(), at }
    };
    read(&files.iter().enumerate().map(place).collect::<Vec<_>>(), wanted)
}

fn windows(name: &str, content: Vec<u8>) -> Vec<Window> {
    recorded(&[(name, content)], None).unwrap().windows
}

fn problem(files: &[(&str, Vec<u8>)]) -> String {
    recorded(files, None).unwrap_err().to_string()
}

fn window(counts: &[f64]) -> Window {
    Window::new(2, counts.to_vec())
}

#[test]
fn a_ring_and_its_sum_are_read_from_torch_s_archives() {
    let ring = stat(&[4, 2, 2], &[0, 0, 5, 6, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4]);
    let recording = recorded(&[("dump.pt", ring.clone())], None).unwrap();
    assert_eq!(recording.windows, [window(&[1.0, 2.0]), window(&[3.0, 4.0]), window(&[5.0, 6.0])]);
    assert_eq!((recording.layer_ids, recording.dense_layers), (Some(vec![1]), vec![0]));
    assert_eq!(windows("dump.pt.gz", gzip(&ring)).len(), 3);
    assert_eq!(windows("sum.pt", stat(&[2, 2], &[1, 2, 3, 4])), [window(&[1.0, 2.0, 3.0, 4.0])]);
    let empty = recorded(&[("dump.pt", stat(&[2, 1, 2], &[0; 4]))], None).unwrap_err();
    assert_eq!(empty.to_string(), "dump.pt holds no loads");
}

#[test]
fn the_ranks_of_a_recording_are_summed_and_recordings_stay_apart() {
    let map = [1, 0, 1];
    let rank = |number, counts: &[[i32; 3]]| per_pass(number, counts, &map);
    let files = [
        ("a_0.pt", rank(0, &[[1, 2, 3], [0, 0, 1]])),
        ("a_1.pt", rank(1, &[[10, 20, 30], [0, 1, 0]])),
        ("b_0.pt", rank(0, &[[1, 1, 1]])),
        ("b_1.pt", rank(1, &[[2, 2, 2], [9, 9, 9]])),
    ];
    let recording = recorded(&files, None).unwrap();
    assert_eq!(recording.windows, [window(&[22.0, 44.0]), window(&[1.0, 1.0]), window(&[3.0, 6.0])]);
    assert_eq!((recording.replicas, recording.gpus), (Some(3), Some(2)));
    let notes: Vec<String> = recording.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["b_0.pt: 1 forward passes are not in the files of all ranks and are left out"]);
    let other_map = [("a_0.pt", rank(0, &[[1, 2, 3]])), ("a_1.pt", per_pass(1, &[[1, 2, 3]], &[0, 1, 1]))];
    assert_eq!(problem(&other_map), "a_1.pt, last_physical_to_logical_map: another map than in a_0.pt");
    let no_slot = [("a_0.pt", per_pass(0, &[[1, 2, 3]], &[0, 2, 2]))];
    assert_eq!(problem(&no_slot), "a_0.pt, last_physical_to_logical_map: layer 0: expert 1 of 3 has no slot");
}

#[test]
fn a_tensor_alone_is_read_in_any_order_of_memory() {
    let f4 = |numbers: [f32; 4]| numbers.map(f32::to_le_bytes).concat();
    let wanted = [window(&[1.0, 2.0, 3.0, 4.0])];
    assert_eq!(windows("w.pt", saved("FloatStorage", &[2, 2], &[2, 1], &f4([1.0, 2.0, 3.0, 4.0]))), wanted);
    assert_eq!(windows("w.pt", saved("FloatStorage", &[2, 2], &[1, 2], &f4([1.0, 3.0, 2.0, 4.0]))), wanted);
    for (file, message) in [
        (saved("BoolStorage", &[2, 2], &[2, 1], &[1; 4]), "w.pt, the tensor: a tensor of booleans"),
        (
            saved("FloatStorage", &[2, 2], &[2, 2], &f4([1.0; 4])),
            "w.pt, the tensor: a tensor that is larger than its storage",
        ),
        (
            saved("FloatStorage", &[2, 2], &[2, 1], &[0; 15]),
            "w.pt, the tensor: 16 bytes of numbers are promised, member dump/data/0 has 15",
        ),
        (
            saved("FloatStorage", &[2, 2], &[2, 1], &f4([1.0, 2.0, -3.0, 4.0])),
            "w.pt, window 0, layer 1, expert 0: -3.0 is negative",
        ),
        (
            saved("FloatStorage", &[4], &[1], &f4([1.0; 4])),
            "w.pt, the tensor: 1 dimensions, not [layers, experts] or [windows, ...]",
        ),
    ] {
        assert_eq!(problem(&[("w.pt", file)]), message);
    }
}

#[test]
fn a_pickle_that_calls_something_is_refused_and_calls_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let witness = folder.path().join("called");
    let command = format!("touch {}", witness.display());
    let call = [&b"cposix\nsystem\n(X"[..], &(command.len() as u32).to_le_bytes(), command.as_bytes(), b"tR"].concat();
    assert_eq!(
        problem(&[("w.pt", torch(&call, &[]))]),
        "w.pt, data.pkl, byte 2: posix.system is refused: only tensors and plain data are read"
    );
    assert!(!witness.exists());
}

#[test]
fn a_dictionary_without_loads_is_named() {
    let other = torch(b"}(X\x05\x00\x00\x00modelK\x01X\x18\x00\x00\x00physical_to_logical_map_K\x01u", &[]);
    assert_eq!(
        problem(&[("w.pt", other)]),
        "w.pt, data.pkl: no \"logical_count\" or \"records\" among the members [\"model\", \"physical_to_logical_map_\"]: \
         a plan, no loads"
    );
    let list = torch(b"}(X\x0d\x00\x00\x00logical_count]u", &[]);
    assert_eq!(problem(&[("w.pt", list)]), "w.pt, logical_count: not a tensor");
    assert_eq!(
        problem(&[("w.zip", zip(&[("a/b.txt", b"")]))]),
        "w.zip, archive: neither torch.save nor numpy.savez wrote it; it has [\"a/b.txt\"]"
    );
}

#[test]
fn changed_numbers_of_an_archive_are_found_by_its_checksum() {
    let file = stat(&[2, 2], &[1, 2, 3, 4]);
    let numbers = file.windows(16).position(|bytes| bytes == [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]).unwrap();
    for at in numbers..numbers + 16 {
        let mut changed = file.clone();
        changed[at] ^= 0x40;
        let error = problem(&[("w.pt", changed)]);
        assert!(error.starts_with("w.pt, "), "{error}");
    }
}

#[test]
fn tensorrt_llm_s_ranks_are_summed_by_iteration() {
    let rank0 = safetensors(&[("10_3", [1, 2]), ("10_5", [3, 4]), ("9_3", [1, 0]), ("9_5", [0, 1])]);
    let rank1 = safetensors(&[("10_3", [10, 20]), ("10_5", [30, 40]), ("9_3", [10, 0]), ("9_5", [0, 10])]);
    let meta = |experts: usize| format!("{{\"num_experts\": {experts}, \"num_experts_per_token\": 1}}").into_bytes();
    let files = [("s/meta_info.json", meta(2)), ("s/rank0.safetensors", rank0.clone()), ("s/rank1.safetensors", rank1)];
    let recording = recorded(&files, None).unwrap();
    assert_eq!(recording.windows, [window(&[11.0, 0.0, 0.0, 11.0]), window(&[11.0, 22.0, 33.0, 44.0])]);
    assert_eq!((recording.layer_ids, recording.gpus), (Some(vec![3, 5]), Some(2)));
    assert_eq!(recording.spans[1].passes, Some((10, 10)));
    let with = |other: &str, file: Vec<u8>| {
        problem(&[("s/meta_info.json", meta(2)), ("s/a.safetensors", rank0.clone()), (other, file)])
    };
    assert_eq!(
        with("s/b.safetensors", safetensors(&[("10_3", [1, 2])])),
        "s/b.safetensors, header: no layer 3 in iteration 9"
    );
    assert_eq!(
        with("s/b.safetensors", safetensors(&[("weight", [1, 2])])),
        "s/b.safetensors, header: \"weight\" is not {iteration}_{layer}"
    );
    let wrong = [("s/meta_info.json", meta(3)), ("s/rank0.safetensors", rank0.clone())];
    assert_eq!(problem(&wrong), "s/meta_info.json, num_experts: 3 experts, but the tensors have 2");
    let cut = rank0[..rank0.len() - 1].to_vec();
    assert!(problem(&[("s/a.safetensors", cut)]).starts_with("s/a.safetensors, header: "));
    // Alone, the description is JSON without loads.
    assert!(problem(&[("s/meta_info.json", meta(2))]).contains("no \"load_history\""));
}

#[test]
fn arrays_in_an_archive_and_packed_files_are_read() {
    let array = npy("<i4", "(2, 2)", &[1, 2, 3, 4].map(i32::to_le_bytes).concat());
    let wanted = [window(&[1.0, 2.0, 3.0, 4.0])];
    assert_eq!(windows("w.npz", zip(&[("arr_0.npy", &array)])), wanted);
    assert_eq!(windows("w.npz", zip(&[("logical_count.npy", &array), ("other.npy", &array)])), wanted);
    assert_eq!(
        problem(&[("w.npz", zip(&[("a.npy", &array), ("b.npy", &array)]))]),
        "w.npz, archive: which of its arrays has the loads? [\"a.npy\", \"b.npy\"]"
    );
    for (name, content) in [("w.npy.gz", &array[..]), ("w.csv.gz", b"1,2\n3,4\n"), ("w.json.gz", b"[[1, 2], [3, 4]]")] {
        assert_eq!(windows(name, gzip(content)), wanted, "{name}");
        let mut changed = gzip(content);
        let end = changed.len() - 6;
        changed[end] ^= 1;
        let error = problem(&[(name, changed)]);
        assert!(error.starts_with(&format!("{name}, ")) && error.contains("corrupt"), "{error}");
    }
}

#[test]
fn texts_of_windows_programs_are_read() {
    let utf16 = |text: &str| -> Vec<u8> {
        "\u{feff}".chars().chain(text.chars()).flat_map(|c| (c as u16).to_le_bytes()).collect()
    };
    let wanted = [window(&[1.0, 2.0, 3.0, 4.0])];
    assert_eq!(windows("w.csv", utf16("\"a\";\"b\"\r\n\"1\";\"2\"\r\n\"3\";\"4\"\r\n")), wanted);
    assert_eq!(windows("w.json", utf16("{\"logical_count\": [[1, 2], [3, 4]]}")), wanted);
    assert_eq!(windows("w.json", b"\xef\xbb\xbf[[1, 2], [3, 4]]".to_vec()), wanted);
    assert_eq!(windows("w.csv", b"\xef\xbb\xbf1,2\r\n3,4\r\n".to_vec()), wanted);
}

#[test]
fn a_folder_of_statistics_lists_all_its_files() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["meta_info.json", "rank0.safetensors", "rank1.safetensors", "notes.md"] {
        fs::write(folder.path().join(name), "# x").unwrap();
    }
    let listing = list(folder.path()).unwrap();
    assert_eq!((listing.files.len(), listing.left_out.len()), (3, 1));
}
