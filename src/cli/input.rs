//! Files that the command line or the settings name.

use std::path::{Path, PathBuf};

use packevolve_loads::read::{Listing, list};
use packevolve_loads::recording::Note;
use packevolve_loads::source::LoadsAt;

use packevolve_contract::topology::Topology;

use crate::cli::error::CliError;
use crate::config::{Asset, Config};
use crate::values::raw_text::text_of;
use crate::view::output::{harmless, status};

pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    read_asset(&Asset::At(path.to_owned()))
}

/// A text that the settings name, or else that of the binary.
pub(crate) fn read_asset(asset: &Asset) -> Result<String, CliError> {
    let path = asset.path();
    let bytes = asset.read().map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    match text_of(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(problem) => Err(CliError::NotText { path: path.to_owned(), problem }),
    }
}

/// Fails early where there are no loads, and says what of a folder is left out; the judge reads them later.
pub(crate) fn check_loads(config: &Config) -> Result<(), CliError> {
    list_loads(config.loads.as_slice()).map(drop)
}

/// The files of loads at these paths. What a folder has beside them is said on stderr.
pub(crate) fn list_loads(paths: &[PathBuf]) -> Result<Vec<LoadsAt>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        if path.try_exists().is_ok_and(|exists| !exists) {
            return Err(CliError::NoLoads(path.clone()));
        }
        let Listing { files: listed, left_out } = list(path)?;
        files.extend(listed);
        left_out.into_iter().for_each(|Note { file, text }| {
            show_note(&Note { file, text: format!("left out: {text}") }.to_string());
        });
    }
    Ok(files)
}

/// Shows on stderr what a reader of loads noted.
pub(crate) fn show_note(note: &str) {
    status(format_args!("note: {}", harmless(note)));
}

/// Says once that groups without effect were given.
pub(crate) fn note_groups(topology: &Topology) {
    if let Some(idle) = topology.idle_groups() {
        status(format_args!("note: topology has {idle}, so engines use the global policy, and so do the cases"));
    }
}
