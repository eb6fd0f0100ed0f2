//! Writing output files, and which programs may leave a run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::run::fold::Run;
use crate::search::Outcome;
use crate::values::candidate::CandidateId;

/// Whether a candidate may be written for deployment: ranks that plan with an inconsistent program corrupt the output of
/// the model.
pub fn check_consistency(run: &Run, candidate: CandidateId) -> Result<(), CliError> {
    let known = run.search.candidate(candidate).expect("BUG: the candidate was found in the run");
    if !matches!(known.outcome, Some(Outcome::Inconsistent(_))) {
        return Ok(());
    }
    let each: Vec<String> = known.inconsistencies.iter().map(ToString::to_string).collect();
    Err(CliError::Inconsistent { candidate, inconsistency: each.join("; ") })
}

/// Writes the whole file or nothing, follows links, and keeps the permissions of an existing file.
pub fn write(path: &Path, text: &str) -> Result<(), CliError> {
    replace(path, text).map_err(|source| CliError::Write { path: path.to_owned(), source })
}

/// A folder that does not exist or is empty.
pub fn new_folder(path: &Path) -> Result<PathBuf, CliError> {
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(path.to_owned()),
        Ok(false) => Err(CliError::NotEmpty(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(source) => Err(CliError::Write { path: path.to_owned(), source }),
    }
}

/// Files by their paths in the folder, which is made, as are the folders in it.
pub fn write_folder(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), CliError> {
    files.iter().try_for_each(|(name, bytes)| {
        let path = folder.join(name);
        let written = fs::create_dir_all(path.parent().unwrap_or(folder)).and_then(|()| fs::write(&path, bytes));
        written.map_err(|source| CliError::Write { path: folder.to_owned(), source })
    })
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        // Devices and pipes cannot be replaced by a rename; for a folder this reports the error.
        return fs::write(path, text);
    }
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".packevolve-partial");
    let partial = path.with_file_name(name);
    let written = fs::write(&partial, text)
        .and_then(|()| there.map_or(Ok(()), |there| fs::set_permissions(&partial, there.permissions())))
        .and_then(|()| fs::rename(&partial, &path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}
