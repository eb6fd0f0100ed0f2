//! `cases`: the shapes at which packing is measured.

use packevolve_contract::case::{self, GlobalShape};
use packevolve_contract::topology::Topology;
use serde::{Deserialize, Serialize};

use crate::config::wrong::{Wrong, at_most};
use crate::values::settings::{LARGEST_CALL, MOST_RANDOM_CASES};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CasesConfig {
    pub global: Option<Vec<GlobalShape>>,
    pub random: usize,
}

impl Default for CasesConfig {
    fn default() -> Self {
        Self { global: None, random: 2 }
    }
}

impl CasesConfig {
    pub(super) fn check(&self, topology: &Topology, global: &[GlobalShape], rng_seed: u64) -> Result<(), Wrong> {
        at_most("cases.random", self.random, MOST_RANDOM_CASES)?;
        let cases = case::cases(topology, global, self.random, rng_seed);
        for case in &cases.map_err(|error| Wrong::new("cases.global", error))? {
            let key = format!("cases.global: rows * items of {case}");
            at_most(&key, case.rows.saturating_mul(case.items), LARGEST_CALL)?;
        }
        Ok(())
    }
}
