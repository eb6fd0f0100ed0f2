//! Reading the files of a folder: the corpus, the building blocks, the prompts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::values::error_kind::{Classify, ErrorKind};

#[derive(Debug, Error)]
#[error("cannot read the {what}: {}", path.display())]
pub struct FolderError {
    /// The plural of what the folder holds.
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Classify for FolderError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// The files of a folder with this extension, sorted by name, each with its content as `read` gives it.
pub(crate) fn files<T>(
    what: &'static str,
    folder: &Path,
    extension: &str,
    read: impl Fn(&Path) -> io::Result<T>,
) -> Result<Vec<(String, T)>, FolderError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError { what, path, source }
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(error(folder))? {
        let entry = entry.map_err(error(folder))?;
        let path = entry.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push((entry.file_name().to_string_lossy().into_owned(), read(&path).map_err(error(&path))?));
        }
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}
