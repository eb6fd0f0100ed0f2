//! Window: the loads of a span of serving, tokens routed to each expert of each layer, and how they are read from CSV.
//!
//! The only file that knows CSV. What is read is checked to the last number, with file, line and column in every
//! complaint; nothing is repaired.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Trim};
use packevolve_contract::topology::Topology;
use thiserror::Error;

/// The most tokens that one expert may have got: sums over thousands of experts still fit 64 bits and float32.
const LARGEST_LOAD: f64 = 1e15;

/// Loads `[layers, experts]` in tokens, finite and not negative. A layer may have no load at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    layers: usize,
    experts: usize,
    counts: Vec<f64>,
}

/// Where in a CSV file; line and column (number of the field) count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Line in the file.
    pub line: usize,
    /// Number of the field in the line.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}, column {}", self.path.display(), self.line, self.column)
    }
}

/// Why loads cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum LoadsError {
    #[error("cannot read loads from {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("no *.csv file in {}", path.display())]
    NoCsv { path: PathBuf },
    #[error("{} holds no loads", path.display())]
    Empty { path: PathBuf },
    #[error("{at}: {text:?} is not a number")]
    NotANumber { at: Place, text: String },
    #[error("{at}: {text} is not finite")]
    NotFinite { at: Place, text: String },
    #[error("{at}: {text} is negative")]
    Negative { at: Place, text: String },
    #[error("{at}: {text} is more than a load can be ({LARGEST_LOAD:e})")]
    TooLarge { at: Place, text: String },
    #[error("{}, line {line}: {found} loads, but the first line has {wanted}", path.display())]
    Ragged { path: PathBuf, line: usize, found: usize, wanted: usize },
    #[error(
        "{}: {layers} lines of {experts} loads, but the topology has {wanted_layers} layers of {wanted_experts} experts",
        path.display()
    )]
    Shape { path: PathBuf, layers: usize, experts: usize, wanted_layers: usize, wanted_experts: usize },
    #[error("a pool of 0 windows was asked for, it needs at least 1")]
    NoneWanted,
}

impl Window {
    /// A window of `counts`, row-major `[layers, experts]`; layers follow from the length.
    ///
    /// # Panics
    /// If `counts` is empty, not a multiple of `experts`, or holds a negative or non-finite load: callers have checked.
    pub fn new(experts: usize, counts: Vec<f64>) -> Self {
        assert!(!counts.is_empty() && counts.len().is_multiple_of(experts), "BUG: a window of {} loads", counts.len());
        assert!(counts.iter().all(|load| load.is_finite() && *load >= 0.0), "BUG: a window with an impossible load");
        Self { layers: counts.len() / experts, experts, counts }
    }

    /// Reads one window from a CSV file: no header, a line per layer, integers or floats. Blank lines are skipped.
    ///
    /// # Errors
    /// The first thing that is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, LoadsError> {
        let text = fs::read(path).map_err(|error| LoadsError::Read { path: path.to_owned(), error })?;
        let file = CsvFile { path, text: &text };
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true) // ragged lines are ours to report
            .trim(Trim::All)
            .from_reader(file.text);
        let (mut experts, mut counts) = (0, Vec::new());
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record).expect("BUG: bytes in memory, of any length, can be read") {
            if counts.is_empty() {
                experts = record.len();
            }
            file.read_layer(&record, experts, &mut counts)?;
        }
        if counts.is_empty() {
            return Err(LoadsError::Empty { path: path.to_owned() });
        }
        Ok(Self::new(experts, counts))
    }

    /// Reads all windows of `path`: of a file one, of a folder those of its `*.csv` files in the order of their names
    /// (no hidden files, no folders inside).
    ///
    /// # Errors
    /// The first thing that is wrong with a file, a shape that is not the topology's among them.
    pub fn read_all(path: &Path, topology: &Topology) -> Result<Vec<Self>, LoadsError> {
        let files = if path.is_dir() { csv_files(path)? } else { vec![path.to_owned()] };
        files.iter().map(|file| Self::read(file).and_then(|window| window.of_shape(file, topology))).collect()
    }

    /// Layers, the rows of a window.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// Experts of a layer.
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// All loads, row-major.
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// The loads of one layer.
    pub fn layer(&self, layer: usize) -> &[f64] {
        &self.counts[layer * self.experts..][..self.experts]
    }

    fn of_shape(self, path: &Path, topology: &Topology) -> Result<Self, LoadsError> {
        let Topology { layers, experts, .. } = *topology;
        if (self.layers, self.experts) == (layers, experts) {
            return Ok(self);
        }
        Err(LoadsError::Shape {
            path: path.to_owned(),
            layers: self.layers,
            experts: self.experts,
            wanted_layers: layers,
            wanted_experts: experts,
        })
    }
}

/// A file that is being read, for its complaints.
struct CsvFile<'a> {
    path: &'a Path,
    text: &'a [u8],
}

impl CsvFile<'_> {
    fn read_layer(&self, record: &ByteRecord, experts: usize, counts: &mut Vec<f64>) -> Result<(), LoadsError> {
        for (field, column) in record.iter().zip(1..) {
            let at = || Place { path: self.path.to_owned(), line: self.line(record), column };
            counts.push(load(field, at)?);
        }
        if record.len() != experts {
            let (path, line) = (self.path.to_owned(), self.line(record));
            return Err(LoadsError::Ragged { path, line, found: record.len(), wanted: experts });
        }
        Ok(())
    }

    /// Line of a record. The reader's own count stops at the first of the blank lines before a record.
    fn line(&self, record: &ByteRecord) -> usize {
        let from = record.position().expect("BUG: a record that was read has a position").byte() as usize;
        let blank = self.text[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        1 + self.text[..from + blank].iter().filter(|byte| **byte == b'\n').count()
    }
}

fn load(field: &[u8], at: impl FnOnce() -> Place) -> Result<f64, LoadsError> {
    let text = String::from_utf8_lossy(field);
    match text.parse::<f64>() {
        Err(_) => Err(LoadsError::NotANumber { at: at(), text: text.into_owned() }),
        Ok(load) if !load.is_finite() => Err(LoadsError::NotFinite { at: at(), text: text.into_owned() }),
        Ok(load) if load < 0.0 => Err(LoadsError::Negative { at: at(), text: text.into_owned() }),
        Ok(load) if load > LARGEST_LOAD => Err(LoadsError::TooLarge { at: at(), text: text.into_owned() }),
        Ok(load) => Ok(load + 0.0), // -0 becomes 0
    }
}

fn csv_files(folder: &Path) -> Result<Vec<PathBuf>, LoadsError> {
    let failed = |error| LoadsError::Read { path: folder.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "csv") && !is_hidden && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(LoadsError::NoCsv { path: folder.to_owned() });
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Window, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.csv");
        fs::write(&path, text).unwrap();
        Window::read(&path).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "w.csv"))
    }

    #[test]
    fn integers_and_floats_are_read_whatever_the_blanks_and_line_ends() {
        let window = read(b"\xef\xbb\xbf1, 2.5 ,3e2\r\n\r\n0,-0,7").unwrap();
        assert_eq!((window.layers(), window.experts()), (2, 3));
        assert_eq!(window.counts(), [1.0, 2.5, 300.0, 0.0, 0.0, 7.0]);
        assert!(window.layer(1)[1].is_sign_positive());
    }

    #[test]
    fn what_is_no_load_is_named_with_file_line_and_column() {
        let cases: [(&[u8], &str); 10] = [
            (b"1,2\n3,-4\n", "w.csv, line 2, column 2: -4 is negative"),
            (b"1,NaN\n", "w.csv, line 1, column 2: NaN is not finite"),
            (b"inf,1\n", "w.csv, line 1, column 1: inf is not finite"),
            (b"1,2\n\n3,x\n", "w.csv, line 3, column 2: \"x\" is not a number"),
            (b"1,,2\n", "w.csv, line 1, column 2: \"\" is not a number"),
            (b"1;2\n", "w.csv, line 1, column 1: \"1;2\" is not a number"),
            (b"1,2e15\n", "w.csv, line 1, column 2: 2e15 is more than a load can be (1e15)"),
            (b"1,2\n3,4,5\n", "w.csv, line 2: 3 loads, but the first line has 2"),
            (b"1,2\n3\n", "w.csv, line 2: 1 loads, but the first line has 2"),
            (b"\n\n", "w.csv holds no loads"),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).unwrap_err(), message);
        }
        assert_eq!(read(b"1,\xff\n").unwrap_err(), "w.csv, line 1, column 2: \"\u{fffd}\" is not a number");
    }

    #[test]
    fn a_folder_gives_its_csv_files_in_the_order_of_their_names() {
        let topology = Topology { layers: 1, experts: 2, ..Topology::deepseek_v3() };
        let folder = tempfile::tempdir().unwrap();
        let error = Window::read_all(folder.path(), &topology).unwrap_err().to_string();
        assert_eq!(error, format!("no *.csv file in {}", folder.path().display()));
        for (name, text) in [("b.csv", "2,2"), ("a.csv", "1,1"), ("c.txt", "no"), (".d.csv", "no")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("e.csv")).unwrap();
        let windows = Window::read_all(folder.path(), &topology).unwrap();
        assert_eq!(windows, [Window::new(2, vec![1.0; 2]), Window::new(2, vec![2.0; 2])]);
    }

    #[test]
    fn a_missing_file_and_a_foreign_shape_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.csv");
        let error = Window::read_all(&path, &Topology::deepseek_v3()).unwrap_err().to_string();
        assert!(error.starts_with("cannot read loads from ") && error.contains("No such file"), "{error}");
        fs::write(&path, "1,2\n3,4\n").unwrap();
        let error = Window::read_all(&path, &Topology::deepseek_v3()).unwrap_err().to_string();
        assert!(error.ends_with("w.csv: 2 lines of 2 loads, but the topology has 58 layers of 256 experts"), "{error}");
    }
}
