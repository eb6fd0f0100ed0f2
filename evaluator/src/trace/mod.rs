//! Trace: reads a file of loads, or a folder of them, into windows of the topology's shape.
//!
//! The extension selects the format. Every number is checked, and errors name its location. Memory grows with the content
//! of a file, never with what its header claims.

mod csv;
mod json;
mod npy;

#[cfg(test)]
pub(crate) mod fuzz;

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use packevolve_contract::topology::Topology;

use crate::window::{LoadsError, Window};

/// The size of a read, bytes.
const CHUNK: usize = 1 << 16;

/// Reads the windows of a file, or of all `*.csv`, `*.json` and `*.npy` files of a folder in the order of their names,
/// without hidden files and subfolders.
///
/// Recorders also write rows for dense layers, which have no experts. If a file has more layers than the topology, and
/// exactly the excess number of layers are zero in all its windows, these are dropped. Otherwise a layer without load is
/// like any other.
pub fn read(path: &Path, topology: &Topology) -> Result<Vec<Window>, LoadsError> {
    let files = if path.is_dir() { files(path)? } else { vec![path.to_owned()] };
    let mut windows = Vec::new();
    for file in files {
        windows.extend(of_shape(&file, read_file(&file)?, topology)?);
    }
    Ok(windows)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
    Npy,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_ascii_lowercase();
        Some(match extension.to_str()? {
            "csv" => Self::Csv,
            "json" => Self::Json,
            "npy" => Self::Npy,
            _ => return None,
        })
    }
}

fn read_file(path: &Path) -> Result<Vec<Window>, LoadsError> {
    let format = Format::of(path).ok_or_else(|| LoadsError::UnknownFormat { path: path.to_owned() })?;
    let failed = |error: io::Error| LoadsError::Read { path: path.to_owned(), error };
    if format == Format::Csv {
        return csv::window(path, &fs::read(path).map_err(failed)?).map(|window| vec![window]);
    }
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let file = BufReader::with_capacity(CHUNK, file);
    if format == Format::Json { json::windows(path, file) } else { npy::windows(path, file, length) }
}

/// The windows of one file, without its dense layers.
fn of_shape(path: &Path, windows: Vec<Window>, topology: &Topology) -> Result<Vec<Window>, LoadsError> {
    let (layers, experts) = (windows[0].layers, windows[0].experts);
    if (layers, experts) == (topology.layers, topology.experts) {
        return Ok(windows);
    }
    let is_zero: Vec<bool> = (0..layers).map(|layer| windows.iter().all(|window| window.is_zero(layer))).collect();
    let zero = is_zero.iter().filter(|is_zero| **is_zero).count();
    if experts == topology.experts && layers == topology.layers + zero {
        return Ok(windows.iter().map(|window| window.without(|layer| is_zero[layer])).collect());
    }
    let Topology { layers: wanted_layers, experts: wanted_experts, .. } = *topology;
    Err(LoadsError::Shape { path: path.to_owned(), layers, zero, experts, wanted_layers, wanted_experts })
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, LoadsError> {
    let failed = |error| LoadsError::Read { path: folder.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if Format::of(&path).is_some() && !is_hidden && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(LoadsError::NoFile { path: folder.to_owned() });
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(layers: usize, experts: usize) -> Topology {
        Topology { layers, experts, ..Topology::deepseek_v3() }
    }

    #[test]
    fn a_folder_gives_its_files_of_all_formats_in_the_order_of_their_names() {
        let topology = topology(1, 2);
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path(), &topology).unwrap_err().to_string();
        assert_eq!(error, format!("no *.csv, *.json or *.npy file in {}", folder.path().display()));
        let files = [
            ("b.csv", "2,2"),
            ("a.CSV", "1,1"),
            ("bb.json", "{\"logical_count\": [[3, 3]]}"),
            ("c.txt", "no"),
            (".d.csv", "no"),
        ];
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let header = format!("{:<117}\n", "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 1, 2), }");
        let numbers = [4_i32, 4, 5, 5].map(i32::to_le_bytes).concat();
        let npy = [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), &numbers].concat();
        fs::write(folder.path().join("c.npy"), npy).unwrap();
        fs::create_dir(folder.path().join("e.csv")).unwrap();
        let windows = read(folder.path(), &topology).unwrap();
        assert_eq!(windows, [1.0, 2.0, 3.0, 4.0, 5.0].map(|load| Window::new(2, vec![load; 2])));
    }

    #[test]
    fn a_missing_file_an_unknown_format_and_a_foreign_shape_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.csv");
        let topology = Topology::deepseek_v3();
        let error = read(&path, &topology).unwrap_err().to_string();
        assert!(error.starts_with("cannot read loads from ") && error.contains("No such file"), "{error}");
        fs::write(&path, "1,2\n3,4\n").unwrap();
        let error = read(&path, &topology).unwrap_err().to_string();
        assert!(
            error.ends_with("w.csv: 2 layers of 2 loads, but the topology has 58 layers of 256 experts"),
            "{error}"
        );
        let path = folder.path().join("w.txt");
        let error = read(&path, &topology).unwrap_err().to_string();
        assert_eq!(error, format!("unknown format of loads: {}", path.display()));
    }

    #[test]
    fn dense_layers_are_dropped_only_if_that_makes_the_layers_the_topology_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.json");
        fs::write(&path, "{\"logical_count\": [[0, 0], [1, 2], [0, 0], [3, 4]]}").unwrap();
        let counts = |layers| read(&path, &topology(layers, 2)).map(|windows| windows[0].counts.to_vec());
        assert_eq!(counts(2).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(counts(4).unwrap(), [0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0]);
        for layers in [1, 3, 5] {
            let error = counts(layers).unwrap_err().to_string();
            let wanted = format!(
                "w.json: 4 layers of 2 loads, 2 of them all zero, but the topology has {layers} layers of 2 experts"
            );
            assert!(error.ends_with(&wanted), "{error}");
        }
    }

    #[test]
    fn a_layer_that_has_load_in_another_window_of_the_file_is_not_dense() {
        let dense = [Window::new(1, vec![0.0, 0.0, 5.0]), Window::new(1, vec![0.0, 7.0, 0.0])];
        let windows = of_shape(Path::new("w.npy"), dense.to_vec(), &topology(2, 1)).unwrap();
        assert_eq!(windows, [Window::new(1, vec![0.0, 5.0]), Window::new(1, vec![7.0, 0.0])]);
        assert!(of_shape(Path::new("w.npy"), dense.to_vec(), &topology(1, 1)).is_err());
    }
}
