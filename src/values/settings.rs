//! Settings: what a run does, checked and complete. [`config`](crate::config) makes them from what a person wrote; the
//! first event of a run records them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use packevolve_contract::case::GlobalShape;
use packevolve_contract::loads::Loads;
use packevolve_contract::objective::Weights;
use packevolve_contract::protocol::{Limits, Sandbox};
use packevolve_contract::topology::Topology;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The effective settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// Key of all random streams.
    pub rng_seed: u64,
    /// How programs are measured.
    pub evaluation: EvaluationSettings,
    /// How programs are looked for.
    pub search: SearchSettings,
    /// Language models that are asked for proposals.
    #[serde(default, skip_serializing_if = "LlmSettings::is_unused")]
    pub llm: LlmSettings,
}

/// How programs are measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluationSettings {
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// The interpreter with torch; `None`: the one that the judge was built with.
    pub python: Option<PathBuf>,
    /// The model and its deployment.
    pub topology: Topology,
    /// Cases of the global policy beside the unit.
    pub global_cases: Vec<GlobalShape>,
    /// How many cases of random shape.
    pub random_cases: usize,
    /// Where the windows come from.
    pub loads: Loads,
    /// Windows of every case of an evaluation; `None`: as many as there are real ones.
    pub windows: Option<usize>,
    /// Windows of every case that the search never sees, on which what looks best is judged again; 0: none.
    pub held_out: usize,
    /// Wall time after which an evaluation takes no further window, seconds; `None`: all windows.
    pub budget_seconds: Option<f64>,
    /// How `combined_score` is put together.
    pub weights: Weights,
    /// What a child may use.
    pub limits: Limits,
    /// Whether a child must be jailed.
    pub sandbox: Sandbox,
    /// Whether a program may run compilers until it is warm.
    #[serde(default)]
    pub allow_compile: bool,
}

/// How programs are looked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SearchSettings {
    /// Candidates of the run, the seed program and the corpus counted.
    pub candidates: u64,
    /// Wall time of the run, seconds; `None`: no limit.
    pub wall_seconds: Option<f64>,
    /// A run ends when its best has this `combined_score`; `None`: no target.
    pub target_score: Option<f64>,
    /// Populations that evolve apart.
    pub islands: usize,
    /// How many of the best of each are kept as parents.
    pub population: usize,
    /// After so many evaluations the best of each island is copied to the next.
    pub migration: u64,
    /// After so many evaluations without a better best an island starts anew.
    pub restart: u64,
    /// Members of the front for each unit of quality, at most.
    pub front: usize,
    /// Judges that work at the same time.
    pub slots: usize,
    /// Who takes part beside the corpus.
    pub proposers: Parts,
    /// The most attempts to cut from one best what it does not need; 0: none.
    #[serde(default)]
    pub prune: u64,
}

/// Which proposers take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parts {
    /// Programs put together from building blocks.
    pub compose: bool,
    /// Two programs joined.
    pub cross: bool,
    /// Small changes.
    pub mutate: bool,
}

/// Language models that are asked for proposals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LlmSettings {
    /// The models, each a proposer of its own; none: no request is ever sent.
    pub models: Vec<ModelSettings>,
    /// Folder with templates that take the place of the built-in ones of the same name.
    pub prompts: Option<PathBuf>,
    /// How often what does not work goes back to the model with its diagnosis.
    pub repairs: u32,
    /// After how many candidates of theirs a summary of what worked is asked for; 0: never.
    pub summary_every: u64,
    /// The most tokens that all requests of the run may cost; `None`: no limit.
    pub budget_tokens: Option<u64>,
    /// The most dollars that they may cost; `None`: no limit.
    pub budget_dollars: Option<f64>,
}

impl LlmSettings {
    fn is_unused(&self) -> bool {
        self.models.is_empty()
    }

    /// The environment variables that hold keys; no process that runs programs may have them.
    pub fn key_variables(&self) -> Vec<String> {
        self.models.iter().filter_map(|model| model.key_env.clone()).collect()
    }
}

/// One model behind an OpenAI-compatible endpoint. Holds no key: only the name of the variable that has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelSettings {
    /// What it is called in the run.
    pub name: String,
    /// Requests go to `{base_url}/chat/completions`.
    pub base_url: String,
    /// What the endpoint calls it.
    pub model: String,
    /// The environment variable that holds the key; `None`: no key is sent.
    pub key_env: Option<String>,
    /// Sent with every request as they are: `temperature`, `max_tokens` ...
    pub parameters: BTreeMap<String, Value>,
    /// Requests to it at the same time.
    pub requests: usize,
    /// How long one try may take, seconds.
    pub timeout_seconds: f64,
    /// Tries after the first.
    pub retries: u32,
    /// The wait before the first of them, seconds; it doubles each time.
    pub retry_wait_seconds: f64,
    /// The longest wait before one, seconds.
    pub longest_wait_seconds: f64,
    /// A longer reply is not read to its end, bytes.
    pub reply_bytes: u64,
    /// What tokens cost.
    pub prices: Prices,
}

/// What tokens cost, dollars for a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// Tokens of a request.
    pub prompt: f64,
    /// Tokens of a reply.
    pub completion: f64,
}

impl ModelSettings {
    /// The parameters that bound what a reply can cost, newer name first.
    pub const COMPLETION_LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

    /// The most tokens of a reply. Settings that were checked name one.
    pub fn most_completion_tokens(&self) -> u64 {
        let limits = Self::COMPLETION_LIMITS.iter().filter_map(|name| self.parameters.get(*name)?.as_u64());
        limits.max().unwrap_or(0)
    }

    /// For tests: a model behind nothing.
    #[doc(hidden)]
    pub fn example() -> Self {
        Self {
            name: "example".to_owned(),
            base_url: "http://127.0.0.1:1/v1".to_owned(),
            model: "a-model".to_owned(),
            key_env: None,
            parameters: BTreeMap::from([("max_tokens".to_owned(), Value::from(1000))]),
            requests: 2,
            timeout_seconds: 10.0,
            retries: 2,
            retry_wait_seconds: 0.01,
            longest_wait_seconds: 1.0,
            reply_bytes: 1 << 20,
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
                loads: Loads::MadeUp { rng_seed: 1 },
                windows: Some(3),
                held_out: 3,
                budget_seconds: Some(15.0),
                weights: Weights::default(),
                limits,
                sandbox: Sandbox::default(),
                allow_compile: false,
            },
            search: SearchSettings {
                candidates: 20,
                wall_seconds: None,
                target_score: None,
                islands: 2,
                population: 12,
                migration: 5,
                restart: 10,
                front: 50,
                slots: 2,
                proposers: Parts { compose: false, cross: false, mutate: true },
                prune: 0,
            },
            llm: LlmSettings::default(),
        }
    }
}
