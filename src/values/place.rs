//! Place: where judges run. A slot is one judge; slots are numbered through all places, in order.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place with judges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// Judges at the same time.
    pub slots: usize,
    /// The program that starts a judge there, with its first arguments; empty: this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub launch: Vec<String>,
    /// The path of the judge there; `None`: the same as here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<PathBuf>,
    /// Whether its device and its torch may differ from those of the first place.
    #[serde(default)]
    pub mixed: bool,
    /// A slot is left out after this many losses in a row, and one more.
    pub restarts: u32,
    /// Wait before the first restart; it doubles with each loss in a row.
    pub initial_backoff_seconds: f64,
    pub max_backoff_seconds: f64,
}

impl Place {
    /// This machine with that many slots.
    pub fn here(slots: usize) -> Self {
        Self {
            slots,
            launch: Vec::new(),
            judge: None,
            mixed: false,
            restarts: 8,
            initial_backoff_seconds: 1.0,
            max_backoff_seconds: 60.0,
        }
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        if self.launch.is_empty() { "this machine".to_owned() } else { self.launch.join(" ") }
    }

    /// Seconds from a loss to the restart; `losses` counts the losses in a row.
    pub fn backoff_seconds(&self, losses: u32) -> f64 {
        let doublings = losses.saturating_sub(1).min(60);
        (self.initial_backoff_seconds * 2f64.powf(doublings.into())).min(self.max_backoff_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_limit() {
        let place = Place { initial_backoff_seconds: 1.0, max_backoff_seconds: 10.0, ..Place::here(1) };
        let waits = [1, 2, 3, 4, 5, u32::MAX].map(|losses| place.backoff_seconds(losses));
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
    }
}
