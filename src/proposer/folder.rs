//! Reading the files of a folder: the corpus, the building blocks, the prompts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::Asset;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::shipped;

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

/// The folders in a folder that the settings name, or in the one that the binary brings along, sorted by name. Those whose
/// name begins with a dot or an underscore are left aside, as what tools leave behind.
pub(crate) fn asset_folders(what: &'static str, folder: &Asset) -> Result<Vec<(String, Asset)>, FolderError> {
    let path = match folder {
        Asset::Shipped(path) => {
            return Ok(shipped::folders(path).map(|(name, path)| (name.to_owned(), Asset::Shipped(path))).collect());
        }
        Asset::At(path) => path,
    };
    let error = |source| FolderError { what, path: path.clone(), source };
    let mut folders = Vec::new();
    for entry in fs::read_dir(path).map_err(error)? {
        let entry = entry.map_err(error)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with(['.', '_']) {
            folders.push((name, Asset::At(entry.path())));
        }
    }
    if folders.is_empty() {
        return Err(error(io::Error::new(io::ErrorKind::NotFound, "it holds no folder of a catalogue")));
    }
    folders.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(folders)
}

/// The same of a folder that the settings name, or of the one that the binary brings along; `read` makes something of
/// the bytes of a file.
pub(crate) fn asset_files<T>(
    what: &'static str,
    folder: &Asset,
    extension: &str,
    read: impl Fn(Vec<u8>) -> io::Result<T>,
) -> Result<Vec<(String, T)>, FolderError> {
    let path = match folder {
        Asset::At(path) => return files(what, path, extension, |path| fs::read(path).and_then(&read)),
        Asset::Shipped(path) => path,
    };
    let fits = |(name, _): &(&str, &[u8])| Path::new(name).extension().is_some_and(|found| found == extension);
    let content = |(name, bytes): (&str, &[u8])| match read(bytes.to_vec()) {
        Ok(content) => Ok((name.to_owned(), content)),
        Err(source) => Err(FolderError { what, path: Path::new(path).join(name), source }),
    };
    shipped::folder(path).filter(fits).map(content).collect()
}

/// The text of a file.
pub(crate) fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
