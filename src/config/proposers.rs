//! `proposers`: what makes edits.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::asset::{self, Asset};
use crate::config::model::ModelConfig;
use crate::config::written::{self, absolute};
use crate::config::wrong::{Wrong, at_least_1, price};
use crate::values::settings::{LlmSettings, ModelSettings};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProposersConfig {
    #[serde(deserialize_with = "asset::optional")]
    pub corpus: Option<Asset>,
    pub compose: ComposeConfig,
    pub cross: SwitchConfig,
    pub mutate: SwitchConfig,
    pub prune: PruneConfig,
    pub models: Vec<ModelConfig>,
    #[serde(deserialize_with = "written::optional_path")]
    pub prompts: Option<PathBuf>,
    pub repairs: u32,
    pub summary_every: u64,
    pub budget: BudgetConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComposeConfig {
    pub enabled: bool,
    pub blocks: Asset,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchConfig {
    pub enabled: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PruneConfig {
    pub enabled: bool,
    pub attempts: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    pub tokens: Option<u64>,
    pub dollars: Option<f64>,
}

impl Default for ProposersConfig {
    fn default() -> Self {
        Self {
            corpus: Some(Asset::Shipped("candidates/proposals")),
            compose: ComposeConfig::default(),
            cross: SwitchConfig::default(),
            mutate: SwitchConfig::default(),
            prune: PruneConfig::default(),
            models: Vec::new(),
            prompts: None,
            repairs: 2,
            summary_every: 25,
            budget: BudgetConfig::default(),
        }
    }
}

impl Default for ComposeConfig {
    fn default() -> Self {
        Self { enabled: true, blocks: Asset::Shipped("candidates/blocks") }
    }
}

impl Default for SwitchConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for PruneConfig {
    fn default() -> Self {
        Self { enabled: true, attempts: 120 }
    }
}

impl ProposersConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        at_least_1("proposers.prune.attempts", self.prune.attempts)?;
        self.budget.dollars.map_or(Ok(()), |dollars| price("proposers.budget.dollars", dollars))
    }

    pub(super) fn llm_settings(&self) -> Result<LlmSettings, Wrong> {
        let Self { models: written, prompts, repairs, summary_every, budget, .. } = self;
        if written.is_empty() {
            return Ok(LlmSettings::default());
        }
        let mut models: Vec<ModelSettings> = Vec::new();
        for (at, model) in written.iter().enumerate() {
            let key = format!("proposers.models[{at}]");
            let model = model.settings().map_err(|wrong| wrong.inside(&key))?;
            if models.iter().any(|other| other.name == model.name) {
                return Err(Wrong::new(
                    &key,
                    format_args!("another model is also called {:?}, set `name`", model.name),
                ));
            }
            models.push(model);
        }
        Ok(LlmSettings {
            models,
            prompts: prompts.as_deref().map(absolute),
            repairs: *repairs,
            summary_every: *summary_every,
            budget_tokens: budget.tokens,
            budget_dollars: budget.dollars,
        })
    }
}
