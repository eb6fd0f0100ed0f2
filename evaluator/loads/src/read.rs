//! Read: files of loads, of any format, become a recording; a folder becomes the files in it that hold loads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use packevolve_contract::topology::Topology;

use crate::archive::{Archive, spot};
use crate::error::LoadsError;
use crate::kind::Kind;
use crate::recording::{Note, Part, Recording};
use crate::sglang::{self, Contents};
use crate::source::{LoadsAt, Source};
use crate::torch::TorchFile;
use crate::window::quoted;
use crate::{json, lines, npy, table, tensorrt};

/// The most members of an archive, and files of a folder, that a message names.
const MOST_NAMED: usize = 5;

/// Reads all files, at least one, in order. Files that belong together make windows together, where the first of them
/// stands: those of the ranks of an engine.
///
/// The shape of the windows is that of `wanted`, if it is given; what else it says is compared, and noted.
///
/// # Errors
/// A file cannot be read, is damaged, holds no loads or leaves open what it holds, or shapes differ.
pub fn read(files: &[LoadsAt], wanted: Option<&Topology>) -> Result<Recording, LoadsError> {
    let mut reader =
        Reader { wanted, parts: BTreeMap::new(), ranks: Vec::new(), tensors: BTreeMap::new(), notes: Vec::new() };
    let metas: Vec<&LoadsAt> = files.iter().filter(|file| is_meta(&file.name)).collect();
    for (number, file) in files.iter().enumerate() {
        // Read with the tensors beside it, if there are some.
        if !is_meta(&file.name) || !files.iter().any(|other| is_rank_beside(&other.name, &file.name)) {
            reader.file(number, file)?;
        }
    }
    reader.together(&metas)?;
    let Reader { parts, notes, .. } = reader;
    if parts.is_empty() {
        let path = files.first().map(|file| file.name.clone()).unwrap_or_default();
        return Err(LoadsError::Empty { path });
    }
    let mut recording = Recording::of(parts.into_values().flatten().collect(), wanted)?;
    recording.notes.splice(0..0, notes);
    Ok(recording)
}

fn is_meta(name: &Path) -> bool {
    name.file_name().is_some_and(|name| name == tensorrt::META)
}

fn is_rank_beside(name: &Path, meta: &Path) -> bool {
    name.parent() == meta.parent() && Kind::named(&crate::source::extension(name)) == Some(Kind::Safetensors)
}

struct Reader<'a> {
    wanted: Option<&'a Topology>,
    /// By the number of their (first) file.
    parts: BTreeMap<usize, Vec<Part>>,
    ranks: Vec<(usize, sglang::Rank)>,
    /// By folder.
    tensors: BTreeMap<PathBuf, Vec<(usize, Source)>>,
    notes: Vec<Note>,
}

impl Reader<'_> {
    fn file(&mut self, number: usize, file: &LoadsAt) -> Result<(), LoadsError> {
        let source = Source::open(file)?;
        let name = &file.name;
        let (kind, remark) = Kind::of(&source)?;
        self.notes.extend(remark.map(|text| Note { file: name.clone(), text }));
        let part = match kind {
            Kind::Csv => table::part(name, &source.all_text()?, self.wanted)?,
            Kind::Json => json::part(name, source.text()?)?,
            Kind::JsonLines => lines::part(name, source.text()?)?,
            Kind::Npy => npy::part(name, source.stream()?, source.length(), self.experts())?,
            Kind::Zip => match self.archive(&source)? {
                Contents::Windows(part) => part,
                Contents::Rank(rank) => {
                    self.ranks.push((number, *rank));
                    return Ok(());
                }
            },
            Kind::Safetensors => {
                let folder = name.parent().unwrap_or(Path::new("")).to_owned();
                self.tensors.entry(folder).or_default().push((number, source));
                return Ok(());
            }
        };
        self.parts.entry(number).or_default().push(part);
        Ok(())
    }

    fn archive(&self, source: &Source) -> Result<Contents, LoadsError> {
        let name = &source.name;
        let mut archive = Archive::open(name, source.seekable()?)?;
        let names = archive.names();
        if TorchFile::is_one(&names) {
            return sglang::contents(name, TorchFile::open(name, archive)?);
        }
        let arrays: Vec<&String> = names.iter().filter(|name| name.ends_with(".npy")).collect();
        let counts = arrays.iter().find(|name| **name == "logical_count.npy");
        let array = match (&arrays[..], counts) {
            ([array], _) | (_, Some(array)) => *array,
            ([], None) => {
                let problem = format!("neither torch.save nor numpy.savez wrote it; it has {}", some(&names));
                return Err(LoadsError::invalid(name, "archive", problem));
            }
            _ => {
                let problem = format!("which of its arrays has the loads? {}", some(&names));
                return Err(LoadsError::invalid(name, "archive", problem));
            }
        };
        let (member, length) = archive.member(array)?;
        let part = npy::part(name, member, Some(length), self.experts()).map_err(|error| in_member(error, array))?;
        Ok(Contents::Windows(part))
    }

    fn experts(&self) -> Option<usize> {
        self.wanted.map(|wanted| wanted.experts)
    }

    /// Reads the files that belong together.
    fn together(&mut self, metas: &[&LoadsAt]) -> Result<(), LoadsError> {
        let (numbers, ranks): (Vec<usize>, Vec<sglang::Rank>) = std::mem::take(&mut self.ranks).into_iter().unzip();
        let mut numbers = numbers.into_iter();
        for group in sglang::grouped(ranks) {
            let number = numbers.by_ref().take(group.len()).min().unwrap_or_default();
            let part = sglang::ranks(group)?;
            self.parts.entry(number).or_default().push(part);
        }
        for (folder, ranks) in std::mem::take(&mut self.tensors) {
            let meta = metas.iter().find(|meta| meta.name.parent() == Some(&folder));
            let meta = meta.map(|file| Ok((file.name.as_path(), tensorrt::meta(&Source::open(file)?)?))).transpose()?;
            let (numbers, sources): (Vec<usize>, Vec<Source>) = ranks.into_iter().unzip();
            let part = tensorrt::ranks(&sources, meta)?;
            self.parts.entry(numbers[0]).or_default().push(part);
        }
        Ok(())
    }
}

fn in_member(error: LoadsError, name: &str) -> LoadsError {
    match error {
        LoadsError::Invalid { path, spot: inside, problem } => {
            LoadsError::Invalid { path, spot: format!("{}, {inside}", spot(name)), problem }
        }
        other => other,
    }
}

fn some(names: &[String]) -> String {
    let named: Vec<String> = names.iter().take(MOST_NAMED).map(|name| quoted(name)).collect();
    let more = if names.len() > MOST_NAMED { format!(" and {} more", names.len() - MOST_NAMED) } else { String::new() };
    format!("{named:?}{more}")
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The files with loads, in the order of their names.
    pub files: Vec<LoadsAt>,
    /// What else is there, and why it is left out.
    pub left_out: Vec<Note>,
}

/// The file at `path`, or the files with loads of the folder there, in the order of their names. A file counts if its name
/// or its first bytes say that it holds loads; hidden files and subfolders do not.
///
/// # Errors
/// The folder cannot be read, or has no file with loads.
pub fn list(path: &Path) -> Result<Listing, LoadsError> {
    let mut listing = Listing { files: Vec::new(), left_out: Vec::new() };
    if !path.is_dir() {
        listing.files.push(LoadsAt::here(path));
        return Ok(listing);
    }
    let failed = |error| LoadsError::read(path, error);
    let entries = fs::read_dir(path).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<Result<_, _>>().map_err(failed)?;
    paths.sort();
    for path in paths {
        match no_loads(&path) {
            None => listing.files.push(LoadsAt::here(path)),
            Some(text) => listing.left_out.push(Note { file: path, text }),
        }
    }
    if listing.files.is_empty() {
        let names = listing
            .left_out
            .iter()
            .take(MOST_NAMED)
            .map(|note| format!("{} ({})", note.file.file_name().unwrap_or_default().display(), note.text));
        let names: Vec<String> = names.collect();
        let left_out = if names.is_empty() { ", it is empty".to_owned() } else { format!(": {}", names.join(", ")) };
        return Err(LoadsError::NoFile { path: path.to_owned(), left_out });
    }
    Ok(listing)
}

/// Why something in a folder is left out.
fn no_loads(path: &Path) -> Option<String> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let file = LoadsAt::here(path);
    if path.is_dir() {
        return Some("a folder".to_owned());
    }
    if !path.is_file() {
        return Some("not a file".to_owned());
    }
    if name.starts_with(b".") {
        return Some("hidden".to_owned());
    }
    if Kind::named(&crate::source::extension(path)).is_some() {
        return None;
    }
    match Source::open(&file).and_then(|source| Kind::of(&source)) {
        // A text may be about anything.
        Ok((Kind::Csv | Kind::Json, _)) => Some("a text whose name does not say that it holds loads".to_owned()),
        Ok(_) => None,
        Err(LoadsError::UnknownFormat { seen, .. }) => Some(seen),
        Err(LoadsError::Empty { .. }) => Some("empty".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Window;

    fn topology(layers: usize, experts: usize) -> Topology {
        Topology { layers, experts, ..Topology::deepseek_v3() }
    }

    #[test]
    fn a_folder_gives_its_files_of_all_formats_in_the_order_of_their_names_and_says_what_it_leaves_out() {
        let topology = topology(1, 2);
        let folder = tempfile::tempdir().unwrap();
        let error = list(folder.path()).unwrap_err().to_string();
        assert_eq!(error, format!("no file with loads in {}, it is empty", folder.path().display()));
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
        fs::write(folder.path().join("array"), fs::read(folder.path().join("c.npy")).unwrap()).unwrap();
        fs::write(folder.path().join("README.md"), "# Loads").unwrap();
        let listing = list(folder.path()).unwrap();
        let left_out = |note: &Note| format!("{}: {}", note.file.file_name().unwrap().display(), note.text);
        assert_eq!(
            listing.left_out.iter().map(left_out).collect::<Vec<_>>(),
            [
                ".d.csv: hidden",
                "README.md: it begins with \"# Loads\"",
                "c.txt: it begins with \"no\"",
                "e.csv: a folder"
            ]
        );
        let recording = read(&listing.files, Some(&topology)).unwrap();
        assert_eq!(recording.notes.len(), 1, "{:?}", recording.notes);
        assert!(recording.notes[0].to_string().ends_with("array: read as a NumPy array, which its name does not say"));
        assert_eq!(recording.windows, [1.0, 4.0, 5.0, 2.0, 3.0, 4.0, 5.0].map(|load| Window::new(2, vec![load; 2])));
    }

    #[test]
    fn a_missing_file_an_unknown_format_and_a_foreign_shape_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.csv");
        let topology = Topology::deepseek_v3();
        let error = read(&[LoadsAt::here(&path)], Some(&topology)).unwrap_err().to_string();
        assert!(error.starts_with("cannot read loads from ") && error.contains("No such file"), "{error}");
        fs::write(&path, "1,2\n3,4\n").unwrap();
        let error = read(&[LoadsAt::here(&path)], Some(&topology)).unwrap_err().to_string();
        assert!(
            error.ends_with("w.csv: 2 layers of 2 loads, but the topology has 58 layers of 256 experts"),
            "{error}"
        );
        let path = folder.path().join("w.txt");
        fs::write(&path, "experts\n").unwrap();
        let error = read(&[LoadsAt::here(&path)], Some(&topology)).unwrap_err().to_string();
        assert_eq!(error, format!("unknown format of loads: {}: it begins with \"experts\"", path.display()));
    }

    #[test]
    fn dense_layers_are_dropped_only_if_that_makes_the_layers_the_topology_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.json");
        fs::write(&path, "{\"logical_count\": [[0, 0], [1, 2], [0, 0], [3, 4]]}").unwrap();
        let counts = |layers| {
            let recording = read(&[LoadsAt::here(&path)], Some(&topology(layers, 2)));
            recording.map(|recording| recording.windows[0].counts.to_vec())
        };
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
}
