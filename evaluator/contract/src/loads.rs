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
    /// Read from a CSV file (one window), or from all `*.csv` files of a folder in the order of their names.
    Path(PathBuf),
}
