//! Checked and complete settings of a run. [`config`](crate::config) makes them from YAML; the first event records
//! them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use packevolve_contract::case::{self, Case, GlobalShape};
use packevolve_contract::loads::Loads;
use packevolve_contract::objective::{Objective, Weights};
use packevolve_contract::protocol::{Limits, Sandbox};
use packevolve_contract::serving::Serving;
use packevolve_contract::topology::{Topology, TopologyError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::values::place::Place;

/// There are about 30,000 shapes, so drawing more of them would never end.
pub(crate) const MOST_RANDOM_CASES: usize = 100;
/// Entries of one window of loads, `layers * experts`: 32 MiB, about 180 times the largest preset.
pub(crate) const LARGEST_WINDOW: usize = 1 << 22;
/// Entries of one call, `rows * items`: 128 MiB of weights.
pub(crate) const LARGEST_CALL: usize = 1 << 24;
/// Windows of the search, or held-out ones: more than any evaluation can use.
pub(crate) const MOST_WINDOWS: usize = 100_000;
/// Far more than there are programs to fill them.
pub(crate) const MOST_ISLANDS: usize = 10_000;
/// Of all places together.
const MOST_SLOTS_OF_ALL: usize = 1_000_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    pub rng_seed: u64,
    pub evaluation: EvaluationSettings,
    pub search: SearchSettings,
    /// Where programs are measured, at least one place. Programs are compared with those of the first.
    pub judges: Vec<Place>,
    #[serde(default, skip_serializing_if = "LlmSettings::is_unused")]
    pub llm: LlmSettings,
}

impl Settings {
    /// Judges of all places together.
    pub fn slots(&self) -> usize {
        self.judges.iter().map(|place| place.slots).sum()
    }

    /// The place of each slot.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.judges.iter().flat_map(|place| std::iter::repeat_n(place, place.slots))
    }

    /// The place of a slot.
    pub fn place_of(&self, slot: usize) -> &Place {
        self.places().nth(slot).expect("BUG: slots are numbered through all places")
    }

    /// Why no harness wrote these settings: a reader of a run with them would use up its memory or its time.
    pub fn absurdity(&self) -> Option<String> {
        let EvaluationSettings { topology, global_cases, random_cases, windows, held_out_windows, policy, .. } =
            &self.evaluation;
        if let Err(error) = topology.check() {
            return Some(error.to_string());
        }
        let replicas = global_cases.iter().map(|shape| shape.replicas).chain([topology.replicas]).max().unwrap_or(0);
        let bounded = [
            ("layers * experts", topology.layers.saturating_mul(topology.experts), LARGEST_WINDOW),
            ("layers * replicas", topology.layers.saturating_mul(replicas), LARGEST_CALL),
            ("random cases", *random_cases, MOST_RANDOM_CASES),
            ("windows of a chain", policy.map_or(0, |policy| policy.chain_windows), MOST_WINDOWS),
            ("windows", windows.unwrap_or(0).max(*held_out_windows), MOST_WINDOWS),
            ("islands", self.search.islands, MOST_ISLANDS),
            ("slots", self.judges.iter().fold(0, |sum, place| place.slots.saturating_add(sum)), MOST_SLOTS_OF_ALL),
        ];
        let absurd = bounded.iter().find(|(_, value, most)| value > most);
        absurd.map(|(name, value, most)| format!("{name}: {value}, at most {most}"))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluationSettings {
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// `None`: the interpreter that the judge was built with.
    pub python: Option<PathBuf>,
    pub topology: Topology,
    /// Cases of the global policy, in addition to the unit.
    pub global_cases: Vec<GlobalShape>,
    pub random_cases: usize,
    pub loads: Loads,
    /// Keys the windows that are made up or derived. A program that can predict it knows the loads that it will get.
    pub loads_seed: u64,
    /// Windows for each case; `None`: all real ones.
    pub windows: Option<usize>,
    /// Windows for each case that the search never sees, from which the windows of duels are derived; 0: no duels.
    pub held_out_windows: usize,
    pub consistency: Consistency,
    /// Seconds after which an evaluation or a duel starts no further window; `None`: no limit.
    pub budget_seconds: Option<f64>,
    pub weights: Weights,
    /// If the target is the whole policy; `None`: packing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicySettings>,
    pub limits: Limits,
    pub sandbox: Sandbox,
    #[serde(default)]
    pub allow_compile: bool,
}

/// How a whole policy is measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicySettings {
    /// The prices of lost time.
    pub deployment: Serving,
    /// Windows of a chain. `windows` and `held_out_windows` are numbers of chains.
    pub chain_windows: usize,
}

impl EvaluationSettings {
    /// What scores count.
    pub fn objective(&self) -> Objective {
        match &self.policy {
            Some(policy) => Objective::Policy(policy.deployment),
            None => Objective::Packing(self.weights),
        }
    }

    /// The cases that are measured; none of a policy.
    ///
    /// # Errors
    /// A global shape does not fit the topology.
    pub fn cases(&self, rng_seed: u64) -> Result<Vec<Case>, TopologyError> {
        match &self.policy {
            Some(_) => Ok(Vec::new()),
            None => case::cases(&self.topology, &self.global_cases, self.random_cases, rng_seed),
        }
    }
}

/// What becomes of a program whose answers depend on the process or on other rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// It is never the best, never on the Pareto front and never exported unless forced.
    #[default]
    Required,
    /// It is marked.
    Report,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchSettings {
    /// Includes the seed program and the corpus.
    pub candidates: u64,
    /// Of all sessions together; `None`: no limit.
    pub wall_seconds: Option<f64>,
    /// The `combined_score` at which the run stops.
    pub target_score: Option<f64>,
    pub islands: usize,
    /// Members of each island.
    pub population_size: usize,
    /// Evaluations after which each island copies its best to the next one.
    pub migration_interval: u64,
    /// Evaluations without a new best after which an island restarts.
    pub stagnation_limit: u64,
    /// Members of the Pareto front for each unit of quality, at most; of policies, for each tenfold of what quality lacks of 1.
    pub pareto_bins: usize,
    pub proposers: Parts,
    /// Simplifications to try on one best; 0: none.
    pub prune_attempts: u64,
}

/// Enabled proposers besides the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parts {
    pub compose: bool,
    pub cross: bool,
    pub mutate: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmSettings {
    /// Each is a separate proposer.
    pub models: Vec<ModelSettings>,
    /// Folder of templates that replace built-in ones of the same name.
    pub prompts: Option<PathBuf>,
    /// How often a model gets a failed proposal back with the reason.
    pub repairs: u32,
    /// Candidates of models between two summaries; 0: never.
    pub summary_every: u64,
    /// Limit of all requests of the run; `None`: no limit.
    pub budget_tokens: Option<u64>,
    /// Limit of all requests of the run; `None`: no limit.
    pub budget_dollars: Option<f64>,
}

impl LlmSettings {
    fn is_unused(&self) -> bool {
        self.models.is_empty()
    }

    /// Environment variables with keys, which no process that runs programs may inherit.
    pub fn key_variables(&self) -> Vec<String> {
        self.models.iter().filter_map(|model| model.key_env.clone()).collect()
    }
}

/// A model at an OpenAI-compatible endpoint. Holds no key, only the name of its variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelSettings {
    /// Unique in the run.
    pub name: String,
    /// Requests go to `{base_url}/chat/completions`.
    pub base_url: String,
    /// Its name at the endpoint.
    pub model: String,
    /// Environment variable with the key; `None`: no key.
    pub key_env: Option<String>,
    /// Whether the model has the role of the system; without it the system prompt stands before the first question.
    pub system: bool,
    /// Sent with every request: `temperature`, `max_tokens` ...
    pub parameters: BTreeMap<String, Value>,
    pub max_concurrent: usize,
    /// Of one try.
    pub timeout_seconds: f64,
    pub retries: u32,
    /// Wait before the first retry; it doubles each time.
    pub initial_backoff_seconds: f64,
    pub max_backoff_seconds: f64,
    /// Longer replies are cut off.
    pub max_reply_bytes: u64,
    pub prices: Prices,
}

/// Dollars for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// Of a request.
    pub prompt: f64,
    /// Of a reply.
    pub completion: f64,
}

impl ModelSettings {
    /// Parameters that bound the cost of a reply, newer name first.
    pub const COMPLETION_LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

    /// Maximum tokens of a reply; not 0 in checked settings.
    pub fn most_completion_tokens(&self) -> u64 {
        let limits = Self::COMPLETION_LIMITS.iter().filter_map(|name| self.parameters.get(*name)?.as_u64());
        limits.max().unwrap_or(0)
    }

    /// For tests: a model without an endpoint.
    #[doc(hidden)]
    pub fn example() -> Self {
        Self {
            name: "example".to_owned(),
            base_url: "http://127.0.0.1:1/v1".to_owned(),
            model: "a-model".to_owned(),
            key_env: None,
            system: true,
            parameters: BTreeMap::from([("max_tokens".to_owned(), Value::from(1000))]),
            max_concurrent: 2,
            timeout_seconds: 10.0,
            retries: 2,
            initial_backoff_seconds: 0.01,
            max_backoff_seconds: 1.0,
            max_reply_bytes: 1 << 20,
            prices: Prices { prompt: 1.0, completion: 4.0 },
        }
    }
}

#[cfg(test)]
impl Settings {
    /// For tests: a small run.
    pub(crate) fn example() -> Self {
        let topology = Topology { layers: 4, experts: 64, groups: 8, nodes: 4, gpus: 8, replicas: 72 };
        let limits = Limits {
            call_seconds: None,
            evaluation_seconds: None,
            load_seconds: 30.0,
            compile_seconds: 120.0,
            memory_bytes: 1 << 32,
            output_bytes: 1 << 24,
            threads: 16,
            scratch_bytes: 1 << 24,
            scratch_files: 100,
        };
        Self {
            rng_seed: 1,
            evaluation: EvaluationSettings {
                device: "cpu".to_owned(),
                python: None,
                topology,
                global_cases: vec![GlobalShape { replicas: 64, gpus: 16 }],
                random_cases: 1,
                loads: Loads::MadeUp,
                loads_seed: 1,
                windows: Some(3),
                held_out_windows: 3,
                consistency: Consistency::default(),
                budget_seconds: Some(15.0),
                weights: Weights::default(),
                policy: None,
                limits,
                sandbox: Sandbox::default(),
                allow_compile: false,
            },
            search: SearchSettings {
                candidates: 20,
                wall_seconds: None,
                target_score: None,
                islands: 2,
                population_size: 12,
                migration_interval: 5,
                stagnation_limit: 10,
                pareto_bins: 50,
                proposers: Parts { compose: false, cross: false, mutate: true },
                prune_attempts: 0,
            },
            judges: vec![Place::here(2)],
            llm: LlmSettings::default(),
        }
    }
}
