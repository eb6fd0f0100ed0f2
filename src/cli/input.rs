//! Files that the command line or the settings name.

use std::path::Path;

use crate::cli::error::CliError;
use crate::config::Config;

pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    let bytes = std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|_| CliError::NotText(path.to_owned()))
}

/// Fails early where there are no loads; the judge reads them later.
pub(crate) fn check_loads(config: &Config) -> Result<(), CliError> {
    match &config.loads {
        Some(path) if path.try_exists().is_ok_and(|exists| !exists) => Err(CliError::NoLoads(path.clone())),
        _ => Ok(()),
    }
}
