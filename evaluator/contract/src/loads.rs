//! Loads: where the windows of expert counts come from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the windows of a run come from. A window is `[layers, experts]`, tokens routed to each expert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loads {
    /// Made up after the statistics of real ones (FIELD.md section 7), from this seed.
    MadeUp {
        /// Key of the streams that they are drawn from.
        rng_seed: u64,
    },
    /// Read from a file, or from all files of a folder with these extensions, in the order of their names:
    /// * `*.csv`: a window, a line per layer;
    /// * `*.json`: `{"logical_count": [[E counts] x L]}`, a window (SGLang), or
    ///   `{"load_history": [{"logical_expert_load": [[E counts] x L]}, ...]}`, a window for every 100 steps (ADRS);
    /// * `*.npy`: `[L, E]`, a window, or `[W, L, E]`, of f4, f8, i4 or i8.
    Path(PathBuf),
}
