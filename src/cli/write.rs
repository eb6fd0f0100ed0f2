//! Writing output files, and which programs may leave a run.

use std::fs;
use std::io;
use std::path::Path;

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
