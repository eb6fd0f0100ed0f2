//! Input: what was named on the command line or in the settings.

use std::path::Path;

use crate::config::{Config, DEFAULT_FILE};

/// A file that was named cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

/// Reads a text that was named on the command line or in the settings.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).map_err(|error| BadInput(format!("cannot read {}: {error}", path.display())))?;
    Ok(String::from_utf8(bytes).map_err(|_| BadInput(format!("{} is not UTF-8 text", path.display())))?)
}

/// Loads that are not there are told at once; what they hold, the judge reads.
pub(crate) fn check_loads(config: &Config) -> Result<(), BadInput> {
    match &config.loads {
        Some(path) if path.try_exists().is_ok_and(|there| !there) => {
            Err(BadInput(format!("there is no {}, where the loads should be", path.display())))
        }
        _ => Ok(()),
    }
}

/// The settings file as errors name it.
pub(crate) fn config_path(config: Option<&Path>) -> &Path {
    config.unwrap_or(Path::new(DEFAULT_FILE))
}
