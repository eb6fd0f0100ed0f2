//! `evaluation`: how a program is measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use packevolve_contract::objective::Weights;
use serde::{Deserialize, Serialize};

use crate::config::written;
use crate::config::wrong::{Wrong, at_least_1, at_most, demand, time};
use crate::values::settings::{Consistency, MOST_WINDOWS};

/// One of them is there if the machine has a GPU: NVIDIA's, or that of Windows' subsystem for Linux.
const GPU_FILES: [&str; 2] = ["/dev/nvidiactl", "/dev/dxg"];

/// One for the first plan, one to plan for, and one to serve.
const LEAST_CHAIN: usize = 3;
/// Each is in the history of those after it.
const MOST_CHAIN: usize = 100;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    #[serde(deserialize_with = "written::text")]
    pub device: String,
    #[serde(deserialize_with = "written::optional_path")]
    pub python: Option<PathBuf>,
    pub loads_seed: Option<u64>,
    pub windows: Option<usize>,
    pub held_out_windows: usize,
    pub chain_windows: usize,
    pub consistency: Consistency,
    #[serde(with = "humantime_serde")]
    pub budget: Option<Duration>,
    pub weights: Weights,
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            device: "auto".to_owned(),
            python: None,
            loads_seed: None,
            windows: Some(4),
            held_out_windows: 4,
            chain_windows: 9,
            consistency: Consistency::default(),
            budget: Some(Duration::from_secs(15)),
            weights: Weights::default(),
        }
    }
}

impl EvaluationConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.budget.map_or(Ok(()), |budget| time("evaluation.budget", budget, Duration::ZERO))?;
        self.windows.map_or(Ok(()), |windows| at_least_1("evaluation.windows", windows))?;
        at_most("evaluation.windows", self.windows.unwrap_or(0), MOST_WINDOWS)?;
        at_most("evaluation.held_out_windows", self.held_out_windows, MOST_WINDOWS)?;
        let is_chain = (LEAST_CHAIN..=MOST_CHAIN).contains(&self.chain_windows);
        let allowed = format_args!("from {LEAST_CHAIN} to {MOST_CHAIN}");
        demand(is_chain, "evaluation.chain_windows", self.chain_windows, allowed)?;
        let Weights { quality, speed } = self.weights;
        let are_weights = quality >= 0.0 && speed >= 0.0 && (quality + speed).is_finite() && quality + speed > 0.0;
        let value = format!("{{ quality: {quality}, speed: {speed} }}");
        demand(are_weights, "evaluation.weights", value, "two numbers from 0 on, not both 0")
    }

    /// Whether judges here measure on a GPU. What `auto` comes to is known only once one has started.
    pub(super) fn is_on_gpu(&self) -> bool {
        match self.device.as_str() {
            "cpu" => false,
            "auto" => GPU_FILES.iter().any(|path| Path::new(path).exists()),
            _ => true,
        }
    }
}
