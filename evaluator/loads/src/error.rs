//! Why loads cannot be used. Each error names the file, and the place in it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum LoadsError {
    #[error("cannot read loads from {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("no file with loads in {}{left_out}", path.display())]
    NoFile {
        path: PathBuf,
        /// What is there instead, if anything.
        left_out: String,
    },
    #[error("unknown format of loads: {}: {seen}", path.display())]
    UnknownFormat { path: PathBuf, seen: String },
    #[error("{} holds no loads", path.display())]
    Empty { path: PathBuf },
    /// In `spot`, lines, bytes and columns count from 1 (in CSV a column is a field, in JSON the byte where the reader
    /// stopped); windows, rows, steps, layers and experts count from 0, as in the arrays that the file holds.
    #[error("{}, {spot}: {problem}", path.display())]
    Invalid { path: PathBuf, spot: String, problem: String },
    #[error(
        "{}: {layers} layers of {experts} loads{}, but the topology has {wanted_layers} layers of {wanted_experts} \
         experts",
        path.display(),
        if *zero == 0 { String::new() } else { format!(", {zero} of them all zero") }
    )]
    Shape { path: PathBuf, layers: usize, zero: usize, experts: usize, wanted_layers: usize, wanted_experts: usize },
    #[error(
        "{}: {layers} layers of {experts} loads, but {} has {first_layers} layers of {first_experts}",
        path.display(),
        first.display()
    )]
    Mixed { path: PathBuf, layers: usize, experts: usize, first: PathBuf, first_layers: usize, first_experts: usize },
    #[error("windows is 0, it must be at least 1")]
    NoWindows,
}

impl LoadsError {
    pub fn invalid(path: &Path, spot: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), spot: spot.into(), problem: problem.into() }
    }

    pub(crate) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }

    /// What reading from `spot` failed with: the file ends there, its content is damaged, or the disk fails.
    pub(crate) fn at(path: &Path, spot: impl Into<String>, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::invalid(path, spot, "the file ends too early"),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                Self::invalid(path, spot, error.to_string())
            }
            _ => Self::read(path, error),
        }
    }
}
