//! Loads: the source of a run's windows.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The source of a run's windows. A window is `[layers, experts]`, the tokens routed to each expert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loads {
    /// Made up with the statistics of real loads (FIELD.md section 7).
    MadeUp,
    /// A file, or all files with loads of a folder, in the order of their names: what `packevolve-loads` reads.
    Path(PathBuf),
}

/// A file of loads of a session. A judge that does not find it where it runs asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadsFile {
    /// Its path on the harness's machine. Its extension selects the format.
    pub path: PathBuf,
    pub bytes: u64,
    /// The first 32 digits of the SHA-256 of its content.
    pub digest: String,
}
