//! `search`: how programs are chosen, and when the run stops.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::wrong::{Wrong, at_least_1, at_most, demand, time};
use crate::values::settings::MOST_ISLANDS;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    pub candidates: u64,
    #[serde(with = "humantime_serde")]
    pub wall_time: Option<Duration>,
    pub target_score: Option<f64>,
    pub islands: usize,
    pub population_size: usize,
    pub migration_interval: u64,
    pub stagnation_limit: u64,
    pub pareto_bins: usize,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            candidates: 300,
            wall_time: None,
            target_score: None,
            islands: 2,
            population_size: 12,
            migration_interval: 20,
            stagnation_limit: 40,
            pareto_bins: 50,
        }
    }
}

impl SearchConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        at_least_1("search.candidates", self.candidates)?;
        at_least_1("search.islands", self.islands)?;
        at_most("search.islands", self.islands, MOST_ISLANDS)?;
        at_least_1("search.population_size", self.population_size)?;
        at_least_1("search.migration_interval", self.migration_interval)?;
        at_least_1("search.stagnation_limit", self.stagnation_limit)?;
        at_least_1("search.pareto_bins", self.pareto_bins)?;
        self.wall_time.map_or(Ok(()), |value| time("search.wall_time", value, Duration::ZERO))?;
        let is_score = self.target_score.is_none_or(|score| (-1.0..=1.0).contains(&score));
        let score = self.target_score.unwrap_or_default();
        demand(is_score, "search.target_score", score, "a combined_score, from -1 to 1")
    }
}
