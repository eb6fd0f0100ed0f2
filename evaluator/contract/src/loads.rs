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
    /// A file, or all files of a folder with these extensions, in the order of their names:
    /// * `*.csv`: a window, a line per layer;
    /// * `*.json`: `{"logical_count": [[E counts] x L]}`, a window (SGLang), or
    ///   `{"load_history": [{"logical_expert_load": [[E counts] x L]}, ...]}`, a window for each 100 steps (ADRS);
    /// * `*.npy`: `[L, E]`, a window, or `[W, L, E]`, of f4, f8, i4 or i8.
    Path(PathBuf),
}
