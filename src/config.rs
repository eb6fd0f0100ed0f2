//! Settings as a person writes them, and their checks. The only file that knows YAML.
//!
//! `config.yaml` in the repository is the commented reference; a test keeps it equal to [`Config::default`].

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use bytesize::ByteSize;
use packevolve_contract::case::{self, GlobalShape};
use packevolve_contract::loads::Loads;
use packevolve_contract::objective::Weights;
use packevolve_contract::protocol::{Limits, Sandbox};
use packevolve_contract::topology::Topology;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::settings::{
    Consistency, EvaluationSettings, LlmSettings, ModelSettings, Parts, Prices, SearchSettings, Settings,
};

/// Read if it exists and the command line names no file.
pub const DEFAULT_FILE: &str = "config.yaml";

/// There are about 30,000 shapes, so drawing more of them would never end.
const MOST_RANDOM_CASES: usize = 100;
/// Longer than any run, and short enough for the timers of every layer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Larger than any machine, and small enough for the system's limits.
const LARGEST: ByteSize = ByteSize::pib(1);
/// Entries of one window of loads, `layers * experts`: 32 MiB, about 180 times the largest preset.
const LARGEST_WINDOW: usize = 1 << 22;
/// Entries of one call, `rows * items`: 128 MiB of weights.
const LARGEST_CALL: usize = 1 << 24;

const LARGEST_REPLY: ByteSize = ByteSize::gib(1);
/// More retries would only hide that an endpoint is down.
const MOST_RETRIES: u32 = 20;
/// For a million tokens: above any price, and small enough that no cost overflows.
const MOST_DOLLARS: f64 = 1e6;
/// Parameters that PackEvolve sets itself, or that would change the shape or number of replies.
const OUR_PARAMETERS: [&str; 4] = ["model", "messages", "stream", "n"];

/// Settings as written. Every field has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub program: PathBuf,
    pub baseline: PathBuf,
    pub runs: PathBuf,
    pub rng_seed: u64,
    pub topology: TopologyConfig,
    pub cases: CasesConfig,
    pub loads: Option<PathBuf>,
    pub evaluation: EvaluationConfig,
    pub limits: LimitsConfig,
    pub sandbox: Sandbox,
    pub allow_compile: bool,
    pub search: SearchConfig,
    pub proposers: ProposersConfig,
    /// The file that they come from, for errors.
    #[serde(skip)]
    source: Option<Source>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopologyConfig {
    pub preset: String,
    pub layers: Option<usize>,
    pub experts: Option<usize>,
    pub groups: Option<usize>,
    pub nodes: Option<usize>,
    pub gpus: Option<usize>,
    pub replicas: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CasesConfig {
    pub global: Option<Vec<GlobalShape>>,
    pub random: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    pub device: String,
    pub python: Option<PathBuf>,
    pub loads_seed: Option<u64>,
    pub windows: Option<usize>,
    pub held_out_windows: usize,
    pub consistency: Consistency,
    #[serde(with = "humantime_serde")]
    pub budget: Option<Duration>,
    pub weights: Weights,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    #[serde(with = "humantime_serde")]
    pub call_timeout: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub evaluation_timeout: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub load_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub compile_timeout: Duration,
    pub memory: ByteSize,
    pub max_output: ByteSize,
    pub threads: u32,
    pub scratch_size: ByteSize,
    pub scratch_files: u32,
}

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
    pub slots: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProposersConfig {
    pub corpus: Option<PathBuf>,
    pub compose: ComposeConfig,
    pub cross: SwitchConfig,
    pub mutate: SwitchConfig,
    pub prune: PruneConfig,
    pub models: Vec<ModelConfig>,
    pub prompts: Option<PathBuf>,
    pub repairs: u32,
    pub summary_every: u64,
    pub budget: BudgetConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComposeConfig {
    pub enabled: bool,
    pub blocks: PathBuf,
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    pub name: Option<String>,
    pub base_url: String,
    pub model: String,
    pub key_env: Option<String>,
    pub parameters: BTreeMap<String, serde_json::Value>,
    pub max_concurrent: usize,
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    pub retries: u32,
    #[serde(with = "humantime_serde")]
    pub initial_backoff: Duration,
    #[serde(with = "humantime_serde")]
    pub max_backoff: Duration,
    pub max_reply_size: ByteSize,
    pub prices: Prices,
}

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{place}: {message}")]
    Yaml { place: String, message: String, meant: Option<String> },
    #[error("{place}: {key}{problem}")]
    Value { place: String, key: String, problem: String },
}

impl Classify for ConfigError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml { meant: Some(name), .. } => Some(format!("did you mean `{name}`?")),
            _ => None,
        }
    }
}

/// A setting by its path, such as `search.islands` or `topology: layers * experts`, and what is wrong with its value.
#[derive(Debug)]
struct Wrong {
    key: String,
    problem: String,
}

impl Wrong {
    fn new(key: &str, problem: impl Display) -> Self {
        Self { key: key.to_owned(), problem: format!(": {problem}") }
    }

    fn inside(mut self, parent: &str) -> Self {
        self.key = format!("{parent}.{}", self.key);
        self
    }
}

fn demand(holds: bool, key: &str, value: impl Display, allowed: impl Display) -> Result<(), Wrong> {
    if holds {
        return Ok(());
    }
    Err(Wrong { key: key.to_owned(), problem: format!(" is {value}, must be {allowed}") })
}

fn at_least_1<T: PartialOrd + From<u8> + Display + Copy>(key: &str, value: T) -> Result<(), Wrong> {
    demand(value >= T::from(1), key, value, "at least 1")
}

fn at_most<T: PartialOrd + Display + Copy>(key: &str, value: T, limit: T) -> Result<(), Wrong> {
    demand(value <= limit, key, value, format_args!("at most {limit}"))
}

fn time(key: &str, value: Duration, least: Duration) -> Result<(), Wrong> {
    let (from, to) = (humantime::format_duration(least), "366 days");
    demand(
        value >= least && value <= LONGEST,
        key,
        humantime::format_duration(value),
        format_args!("from {from} to {to}"),
    )
}

impl Default for Config {
    fn default() -> Self {
        Self {
            program: "candidates/eplb.py".into(),
            baseline: "candidates/eplb.py".into(),
            runs: "runs".into(),
            rng_seed: 1,
            topology: TopologyConfig::default(),
            cases: CasesConfig::default(),
            loads: None,
            evaluation: EvaluationConfig::default(),
            limits: LimitsConfig::default(),
            sandbox: Sandbox::default(),
            allow_compile: false,
            search: SearchConfig::default(),
            proposers: ProposersConfig::default(),
            source: None,
        }
    }
}

impl Default for TopologyConfig {
    fn default() -> Self {
        let (preset, _) = Topology::PRESETS[0];
        let (layers, experts, groups, nodes, gpus, replicas) = (None, None, None, None, None, None);
        Self { preset: preset.to_owned(), layers, experts, groups, nodes, gpus, replicas }
    }
}

impl TopologyConfig {
    fn topology(&self) -> Result<Topology, Wrong> {
        let Some(preset) = Topology::preset(&self.preset) else {
            let names = Topology::PRESETS.map(|(name, _)| name).join(", ");
            return Err(Wrong::new(
                "topology.preset",
                format_args!("unknown preset {:?}, expected one of {names}", self.preset),
            ));
        };
        let topology = Topology {
            layers: self.layers.unwrap_or(preset.layers),
            experts: self.experts.unwrap_or(preset.experts),
            groups: self.groups.unwrap_or(preset.groups),
            nodes: self.nodes.unwrap_or(preset.nodes),
            gpus: self.gpus.unwrap_or(preset.gpus),
            replicas: self.replicas.unwrap_or(preset.replicas),
        };
        topology.check().map_err(|error| Wrong::new("topology", error))?;
        let Topology { layers, experts, replicas, .. } = topology;
        at_most("topology: layers * experts", layers.saturating_mul(experts), LARGEST_WINDOW)?;
        // GPUs, nodes and groups divide these, so no product of a case can overflow from here on.
        at_most("topology: layers * replicas", layers.saturating_mul(replicas), LARGEST_CALL)?;
        Ok(topology)
    }
}

impl Default for CasesConfig {
    fn default() -> Self {
        Self { global: None, random: 2 }
    }
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            device: "auto".to_owned(),
            python: None,
            loads_seed: None,
            windows: Some(4),
            held_out_windows: 4,
            consistency: Consistency::default(),
            budget: Some(Duration::from_secs(15)),
            weights: Weights::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            call_timeout: None,
            evaluation_timeout: None,
            load_timeout: Duration::from_secs(30),
            compile_timeout: Duration::from_secs(120),
            memory: ByteSize::gib(4),
            max_output: ByteSize::mib(16),
            threads: 64,
            scratch_size: ByteSize::mib(64),
            scratch_files: 1000,
        }
    }
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
            slots: None,
        }
    }
}

impl Default for ProposersConfig {
    fn default() -> Self {
        Self {
            corpus: Some("candidates/proposals".into()),
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
        Self { enabled: true, blocks: "candidates/blocks".into() }
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

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            name: None,
            base_url: String::new(),
            model: String::new(),
            key_env: None,
            parameters: BTreeMap::from([("max_tokens".to_owned(), 16_384.into())]),
            max_concurrent: 2,
            timeout: Duration::from_secs(5 * 60),
            retries: 3,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            max_reply_size: ByteSize::mib(4),
            prices: Prices::default(),
        }
    }
}

impl ModelConfig {
    fn settings(&self) -> Result<ModelSettings, Wrong> {
        self.check_address()?;
        let settings = ModelSettings {
            name: self.name.clone().unwrap_or_else(|| self.model.clone()),
            base_url: self.base_url.clone(),
            model: self.model.clone(),
            key_env: self.key_env.clone(),
            parameters: self.parameters.clone(),
            max_concurrent: self.max_concurrent,
            timeout_seconds: self.timeout.as_secs_f64(),
            retries: self.retries,
            initial_backoff_seconds: self.initial_backoff.as_secs_f64(),
            max_backoff_seconds: self.max_backoff.as_secs_f64(),
            max_reply_bytes: self.max_reply_size.as_u64(),
            prices: self.prices,
        };
        if let Some(name) = OUR_PARAMETERS.into_iter().find(|name| self.parameters.contains_key(*name)) {
            return Err(Wrong::new("parameters", format_args!("{name} cannot be set here")));
        }
        if settings.most_completion_tokens() == 0 {
            let limits = ModelSettings::COMPLETION_LIMITS.join(" or ");
            return Err(Wrong::new("parameters", format_args!("must set {limits}, which bounds the cost of a reply")));
        }
        self.check_amounts()?;
        Ok(settings)
    }

    fn check_address(&self) -> Result<(), Wrong> {
        let rest = self.base_url.strip_prefix("https://").or_else(|| self.base_url.strip_prefix("http://"));
        let is_address = rest.is_some_and(|rest| !rest.is_empty());
        demand(is_address, "base_url", format_args!("{:?}", self.base_url), "an http:// or https:// address")?;
        // The record would show a password, so the message must not.
        if rest.is_some_and(|rest| rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace)) {
            return Err(Wrong::new("base_url", "must not hold a user, password, `?` or `#`; key_env names the key"));
        }
        demand(!self.model.is_empty(), "model", "empty", "the name of a model at the endpoint")?;
        let key_env = self.key_env.as_deref().unwrap_or("KEY");
        let is_variable = !key_env.is_empty() && !key_env.contains(['=', '\0', ' ']);
        demand(is_variable, "key_env", format_args!("{key_env:?}"), "the name of an environment variable")
    }

    fn check_amounts(&self) -> Result<(), Wrong> {
        let least = Duration::from_millis(1);
        time("timeout", self.timeout, least)?;
        time("initial_backoff", self.initial_backoff, least)?;
        time("max_backoff", self.max_backoff, least)?;
        at_least_1("max_concurrent", self.max_concurrent)?;
        at_most("retries", self.retries, MOST_RETRIES)?;
        let is_size = self.max_reply_size > ByteSize(0) && self.max_reply_size <= LARGEST_REPLY;
        demand(is_size, "max_reply_size", self.max_reply_size, "from 1 B to 1 GiB")?;
        price("prices.prompt", self.prices.prompt)?;
        price("prices.completion", self.prices.completion)
    }
}

fn price(key: &str, dollars: f64) -> Result<(), Wrong> {
    demand((0.0..=MOST_DOLLARS).contains(&dollars), key, dollars, format_args!("from 0 to {MOST_DOLLARS} dollars"))
}

impl Config {
    /// Reads `path`, by default [`DEFAULT_FILE`] of the current folder, or else takes the defaults. Resolves paths
    /// against the folder of the file.
    pub fn read(path: Option<&Path>) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let path = match path {
            Some(path) => path,
            None if default.exists() => default,
            None => return Ok(Self::default()),
        };
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config = Self::parse(&text).map_err(|error| explain(path, &error))?;
        let config = Self { source: Some(Source { path: path.to_owned(), text }), ..config };
        Ok(config.resolved(path.parent().unwrap_or(Path::new(""))))
    }

    fn parse(text: &str) -> Result<Self, serde_yaml::Error> {
        // A file of comments alone is null to YAML, and means the defaults.
        Ok(serde_yaml::from_str::<Option<Self>>(text)?.unwrap_or_default())
    }

    fn resolved(mut self, folder: &Path) -> Self {
        let ProposersConfig { corpus, compose, prompts, .. } = &mut self.proposers;
        let required = [&mut self.program, &mut self.baseline, &mut self.runs, &mut compose.blocks];
        // A bare name is looked up in PATH.
        let python = self.evaluation.python.as_mut().filter(|python| is_path(python));
        let optional = [self.loads.as_mut(), python, corpus.as_mut(), prompts.as_mut()];
        for path in required.into_iter().chain(optional.into_iter().flatten()) {
            *path = folder.join(&*path);
        }
        self
    }

    /// Checks every value, fills in what depends on the machine, and draws `loads_seed` if the file has none.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        self.checked().map_err(|Wrong { key, problem }| {
            let place = self.source.as_ref().map_or(DEFAULT_FILE.to_owned(), |source| source.place(&key));
            ConfigError::Value { place, key, problem }
        })
    }

    fn checked(&self) -> Result<Settings, Wrong> {
        let topology = self.topology.topology()?;
        let global = self.cases.global.clone().unwrap_or_else(|| case::global_shapes(&topology));
        self.check_cases(&topology, &global)?;
        self.check_evaluation()?;
        self.check_search()?;
        let ProposersConfig { compose, cross, mutate, prune, .. } = &self.proposers;
        let search = &self.search;
        Ok(Settings {
            rng_seed: self.rng_seed,
            evaluation: self.evaluation_settings(topology, global),
            search: SearchSettings {
                candidates: search.candidates,
                wall_seconds: search.wall_time.map(|time| time.as_secs_f64()),
                target_score: search.target_score,
                islands: search.islands,
                population_size: search.population_size,
                migration_interval: search.migration_interval,
                stagnation_limit: search.stagnation_limit,
                pareto_bins: search.pareto_bins,
                slots: search.slots.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
                proposers: Parts { compose: compose.enabled, cross: cross.enabled, mutate: mutate.enabled },
                prune_attempts: if prune.enabled { prune.attempts } else { 0 },
            },
            llm: self.llm_settings()?,
        })
    }

    fn llm_settings(&self) -> Result<LlmSettings, Wrong> {
        let ProposersConfig { models: written, prompts, repairs, summary_every, budget, .. } = &self.proposers;
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

    fn check_cases(&self, topology: &Topology, global: &[GlobalShape]) -> Result<(), Wrong> {
        at_most("cases.random", self.cases.random, MOST_RANDOM_CASES)?;
        let cases = case::cases(topology, global, self.cases.random, self.rng_seed);
        for case in &cases.map_err(|error| Wrong::new("cases.global", error))? {
            let key = format!("cases.global: rows * items of {case}");
            at_most(&key, case.rows.saturating_mul(case.items), LARGEST_CALL)?;
        }
        Ok(())
    }

    fn check_evaluation(&self) -> Result<(), Wrong> {
        let times = [
            ("evaluation.budget", self.evaluation.budget),
            ("limits.call_timeout", self.limits.call_timeout),
            ("limits.evaluation_timeout", self.limits.evaluation_timeout),
            ("limits.load_timeout", Some(self.limits.load_timeout)),
            ("limits.compile_timeout", Some(self.limits.compile_timeout)),
        ];
        for (key, value) in times {
            value.map_or(Ok(()), |value| time(key, value, Duration::ZERO))?;
        }
        let LimitsConfig { memory, max_output, scratch_size, .. } = self.limits;
        for (key, size) in
            [("limits.memory", memory), ("limits.max_output", max_output), ("limits.scratch_size", scratch_size)]
        {
            demand(size <= LARGEST, key, size, "at most 1 PiB")?;
        }
        self.evaluation.windows.map_or(Ok(()), |windows| at_least_1("evaluation.windows", windows))?;
        let Weights { quality, speed } = self.evaluation.weights;
        let are_weights = quality >= 0.0 && speed >= 0.0 && (quality + speed).is_finite() && quality + speed > 0.0;
        let value = format!("{{ quality: {quality}, speed: {speed} }}");
        demand(are_weights, "evaluation.weights", value, "two numbers from 0 on, not both 0")
    }

    fn check_search(&self) -> Result<(), Wrong> {
        let search = &self.search;
        at_least_1("search.candidates", search.candidates)?;
        at_least_1("search.islands", search.islands)?;
        at_least_1("search.population_size", search.population_size)?;
        at_least_1("search.migration_interval", search.migration_interval)?;
        at_least_1("search.stagnation_limit", search.stagnation_limit)?;
        at_least_1("search.pareto_bins", search.pareto_bins)?;
        search.slots.map_or(Ok(()), |slots| at_least_1("search.slots", slots))?;
        search.wall_time.map_or(Ok(()), |value| time("search.wall_time", value, Duration::ZERO))?;
        at_least_1("proposers.prune.attempts", self.proposers.prune.attempts)?;
        self.proposers.budget.dollars.map_or(Ok(()), |dollars| price("proposers.budget.dollars", dollars))
    }

    fn evaluation_settings(&self, topology: Topology, global_cases: Vec<GlobalShape>) -> EvaluationSettings {
        EvaluationSettings {
            device: self.evaluation.device.clone(),
            python: self.evaluation.python.as_deref().map(|python| match is_path(python) {
                true => absolute(python),
                false => python.to_owned(),
            }),
            topology,
            global_cases,
            random_cases: self.cases.random,
            loads: match &self.loads {
                Some(path) => Loads::Path(absolute(path)),
                None => Loads::MadeUp,
            },
            loads_seed: self.evaluation.loads_seed.unwrap_or_else(rand::random),
            windows: self.evaluation.windows,
            held_out_windows: self.evaluation.held_out_windows,
            consistency: self.evaluation.consistency,
            budget_seconds: self.evaluation.budget.map(|budget| budget.as_secs_f64()),
            weights: self.evaluation.weights,
            limits: Limits {
                call_seconds: self.limits.call_timeout.map(|time| time.as_secs_f64()),
                evaluation_seconds: self.limits.evaluation_timeout.map(|time| time.as_secs_f64()),
                load_seconds: self.limits.load_timeout.as_secs_f64(),
                compile_seconds: self.limits.compile_timeout.as_secs_f64(),
                memory_bytes: self.limits.memory.as_u64(),
                output_bytes: self.limits.max_output.as_u64(),
                threads: self.limits.threads,
                scratch_bytes: self.limits.scratch_size.as_u64(),
                scratch_files: self.limits.scratch_files,
            },
            sandbox: self.sandbox,
            allow_compile: self.allow_compile,
        }
    }
}

/// A record must not depend on the working directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn is_path(program: &Path) -> bool {
    program.components().count() > 1
}

#[derive(Clone, Debug, PartialEq)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// File, line and column of a setting, or of the nearest one around it that the file has.
    fn place(&self, key: &str) -> String {
        let (key, _) = key.split_once(':').unwrap_or((key, ""));
        let path: Vec<&str> = key.split(['.', '[', ']']).filter(|step| !step.is_empty()).collect();
        let stops = (1..=path.len())
            .rev()
            .map(|length| Seek(&path[..length]).deserialize(serde_yaml::Deserializer::from_str(&self.text)).err());
        place(&self.path, stops.flatten().find_map(|stop| stop.location()))
    }
}

fn place(path: &Path, location: Option<serde_yaml::Location>) -> String {
    match location {
        Some(location) => format!("{}:{}:{}", path.display(), location.line(), location.column()),
        None => path.display().to_string(),
    }
}

/// Reads up to a value and stops there with an error, which has the place of the value. Serde gives no other access to
/// places.
struct Seek<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Scalars end in the default methods, which fail.
impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let [step, rest @ ..] = self.0 else { return Err(A::Error::custom("here")) };
        while let Some(key) = map.next_key::<String>()? {
            if key == *step {
                map.next_value_seed(Seek(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let [step, rest @ ..] = self.0 else { return Err(A::Error::custom("here")) };
        let at = step.parse().unwrap_or(0);
        for _ in 0..at {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(Seek(rest))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Adds the place in the file and the likely key to the library's message.
fn explain(path: &Path, error: &serde_yaml::Error) -> ConfigError {
    let text = error.to_string();
    let mut message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    for integer in ["u64", "u32", "usize"] {
        message = message.replace(&format!("expected {integer}"), "expected a whole number from 0 on");
    }
    let meant = meant(&message).map(str::to_owned);
    ConfigError::Yaml { place: place(path, error.location()), message, meant }
}

/// The known key nearest to an unknown one, from serde's "unknown field `x`, expected one of `a`, `b`".
fn meant(message: &str) -> Option<&str> {
    let (_, names) = message.split_once("unknown field ")?;
    let mut names = names.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let similarity = |name: &str| strsim::jaro_winkler(unknown, name);
    let nearest = names.max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(nearest) > 0.75).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = include_str!("../config.yaml");

    #[test]
    fn the_commented_reference_equals_the_defaults() {
        assert_eq!(Config::parse(REFERENCE).unwrap(), Config::default());
        assert_eq!(Config::parse("# nothing\n").unwrap(), Config::default());
    }

    #[test]
    fn the_commented_reference_names_every_setting() {
        let written: serde_yaml::Value = serde_yaml::from_str(REFERENCE).unwrap();
        let all = serde_yaml::to_value(Config::default()).unwrap();
        assert_eq!(names(&written), names(&all));
    }

    fn names(value: &serde_yaml::Value) -> Vec<String> {
        let Some(mapping) = value.as_mapping() else { return Vec::new() };
        let name = |key: &serde_yaml::Value| key.as_str().unwrap().to_owned();
        let below = |(key, value)| {
            let inner = names(value).into_iter().map(|inner| format!("{}.{inner}", name(key))).collect::<Vec<_>>();
            std::iter::once(name(key)).chain(inner).collect::<Vec<_>>()
        };
        let mut all: Vec<String> = mapping.iter().flat_map(below).collect();
        all.sort();
        all
    }

    #[track_caller]
    fn error_of(text: &str) -> ConfigError {
        let path = Path::new("config.yaml");
        match Config::parse(text) {
            Err(error) => explain(path, &error),
            Ok(config) => {
                let source = Source { path: path.to_owned(), text: text.to_owned() };
                Config { source: Some(source), ..config }.settings().unwrap_err()
            }
        }
    }

    #[track_caller]
    fn message_of(text: &str) -> String {
        error_of(text).to_string()
    }

    #[test]
    fn a_typo_is_reported_with_its_line_and_the_nearest_key() {
        let error = error_of("rng_seed: 2\nevaluation:\n  windos: 3\n");
        let message = error.to_string();
        assert!(message.starts_with("config.yaml:3:3: "), "{message}");
        assert!(message.contains("unknown field `windos`"), "{message}");
        assert_eq!(error.hint().as_deref(), Some("did you mean `windows`?"));
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_reported_with_its_line() {
        let message = message_of("rng_seed: 2\nlimits:\n  memory: much\n");
        assert!(message.starts_with("config.yaml:3:"), "{message}");
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_name() {
        for (text, wanted) in [
            (
                "topology: {layers: 58, experts: 256, groups: 8, nodes: 4, gpus: 32, replicas: 290}",
                "1:11: topology: replicas",
            ),
            ("topology: {preset: mine}", "1:20: topology.preset: unknown preset \"mine\""),
            ("cases: {global: [{replicas: 256, gpus: 48}]}", "1:17: cases.global: replicas (256)"),
            ("evaluation:\n  windows: 0", "2:12: evaluation.windows is 0, must be at least 1"),
            ("evaluation: {weights: {quality: -1, speed: 1}}", "evaluation.weights is { quality: -1, speed: 1 }, must"),
            (
                "search: {candidates: -3}",
                "search.candidates: invalid type: integer `-3`, expected a whole number from 0",
            ),
            ("search: {candidates: 0}", "1:22: search.candidates is 0, must be at least 1"),
            ("proposers: {budget: {dollars: -1}}", "1:31: proposers.budget.dollars is -1, must be from 0 to 1000000"),
            ("proposers: {budget: {dollars: .nan}}", "proposers.budget.dollars is NaN"),
            ("proposers: {prune: {attempts: 0}}", "proposers.prune.attempts is 0, must be at least 1"),
            ("cases: {random: 101}", "cases.random is 101, must be at most 100"),
            ("cases: {global: [{replicas: 320000000, gpus: 32}]}", "cases.global: rows * items of 320000000->32 is"),
            ("cases: {global: [{replicas: 9223372036854775808, gpus: 32}]}", "cases.global: rows * items of 92"),
            ("topology: {layers: 20000}", "topology: layers * experts is 5120000, must be at most 4194304"),
            ("topology: {layers: 9223372036854775808}", "topology: layers * experts"),
            ("topology: {replicas: 9223372036854775808}", "topology: layers * replicas is 18446744073709551615, must"),
            ("evaluation: {budget: 367days}", "evaluation.budget is 1year 1day 18h"),
            ("limits: {call_timeout: 500000000000years}", "limits.call_timeout is"),
            ("limits: {load_timeout: 367days}", "must be from 0s to 366 days"),
            ("search: {wall_time: 367days}", "search.wall_time is"),
            ("limits: {memory: 1025TiB}", "limits.memory is 1.0 PiB, must be at most 1 PiB"),
            ("limits: {max_output: 2PiB}", "limits.max_output is 2.0 PiB"),
            ("limits: {scratch_size: 2PiB}", "limits.scratch_size is"),
        ] {
            let message = message_of(text);
            assert!(message.contains(wanted), "{message}");
        }
    }

    #[test]
    fn a_model_that_cannot_work_is_refused_by_number_and_name() {
        for (entry, wanted) in [
            ("", "[1].base_url is \"\", must be an http"),
            ("base_url: ftp://a, model: m", "base_url is \"ftp://a\""),
            ("base_url: 'https://', model: m", "base_url is \"https://\""),
            ("base_url: 'https://user:secret@a/v1', model: m", "base_url: must not hold a user, password"),
            ("base_url: 'https://a/v1?key=secret', model: m", "base_url: must not hold a user, password"),
            ("base_url: 'http://a'", "model is empty, must be the name"),
            ("base_url: 'http://a', model: m, key_env: ''", "key_env is \"\", must be the name"),
            ("base_url: 'http://a', model: m, parameters: {temperature: 1}", "max_completion_tokens or max_tokens"),
            ("base_url: 'http://a', model: m, parameters: {max_tokens: 9, n: 2}", "parameters: n cannot"),
            ("base_url: 'http://a', model: m, parameters: {max_tokens: 9, stream: true}", "parameters: stream cannot"),
            ("base_url: 'http://a', model: m, timeout: 0s", "timeout is 0s, must be from 1ms to 366 days"),
            ("base_url: 'http://a', model: m, max_backoff: 367days", "max_backoff is 1year"),
            ("base_url: 'http://a', model: m, retries: 21", "retries is 21, must be at most 20"),
            ("base_url: 'http://a', model: m, max_concurrent: 0", "max_concurrent is 0"),
            ("base_url: 'http://a', model: m, max_reply_size: 2GiB", "max_reply_size is 2.0 GiB, must be from"),
            ("base_url: 'http://a', model: m, prices: {prompt: -1}", "prices.prompt is -1, must be from 0"),
            ("base_url: 'http://a', model: m, prices: {completion: .nan}", "prices.completion is NaN"),
            ("base_url: 'http://a', model: first", "another model is also called \"first\""),
        ] {
            let first = "{base_url: 'http://a', model: first}";
            let message = message_of(&format!("proposers: {{models: [{first}, {{{entry}}}]}}"));
            assert!(
                message.starts_with("config.yaml:1:")
                    && message.contains("proposers.models[1]")
                    && message.contains(wanted),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_typo_in_a_model_is_reported_with_its_line() {
        let message = message_of("proposers:\n  models:\n    - base_url: http://a\n      api_key: x\n");
        assert!(message.starts_with("config.yaml:4:7: ") && message.contains("unknown field `api_key`"), "{message}");
    }

    /// The commented model of the reference, as it reads when its comment signs are gone.
    fn documented_model() -> String {
        let lines = REFERENCE.lines().skip_while(|line| *line != "  models: []").skip(1);
        let lines = lines.map_while(|line| line.strip_prefix("  #   ").or(line.strip_prefix("  # - ").map(|_| line)));
        let lines: Vec<String> = lines.map(|line| line.replacen("  # - ", "- ", 1)).collect();
        let indented = lines.iter().map(|line| if line.starts_with("- ") { line.clone() } else { format!("  {line}") });
        indented.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_documented_model_names_every_setting_with_its_default() {
        let documented = documented_model();
        let models: Vec<ModelConfig> = serde_yaml::from_str(&documented).unwrap();
        let [model] = &models[..] else { panic!("one model is documented:\n{documented}") };
        let written: Vec<serde_yaml::Value> = serde_yaml::from_str(&documented).unwrap();
        let all = serde_yaml::to_value(ModelConfig::default()).unwrap();
        let names =
            |value: &serde_yaml::Value| names(value).into_iter().filter(|name| !name.starts_with("parameters."));
        assert!(names(&written[0]).eq(names(&all)));
        let ModelConfig { name, base_url, model, key_env, parameters, prices, .. } = model.clone();
        let parts = ModelConfig { name, base_url, model, key_env, parameters, prices, ..ModelConfig::default() };
        assert_eq!(models, [parts]);
        models[0].settings().unwrap();
    }

    #[test]
    fn what_a_model_is_sent_comes_through_as_it_was_written() {
        let parameters = "{max_tokens: 100, temperature: 0.30000000000000004, stop: ['a'], deep: {x: null}}";
        let text = format!("proposers: {{models: [{{base_url: 'http://a/v1/', model: m, parameters: {parameters}}}]}}");
        let settings = Config::parse(&text).unwrap().settings().unwrap();
        let [model] = &settings.llm.models[..] else { panic!("{settings:?}") };
        assert_eq!((model.name.as_str(), model.key_env.as_deref(), model.retries), ("m", None, 3));
        assert_eq!(
            serde_json::to_string(&model.parameters).unwrap(),
            r#"{"deep":{"x":null},"max_tokens":100,"stop":["a"],"temperature":0.30000000000000004}"#
        );
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings, "as the journal has them");
    }

    #[test]
    fn a_run_without_models_records_nothing_of_them() {
        let settings = Config::default().settings().unwrap();
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!(json.get("llm"), None);
        let read: Settings = serde_json::from_value(json).unwrap();
        assert_eq!(read.llm, LlmSettings::default());
    }

    #[test]
    fn the_largest_values_that_can_work_are_taken() {
        let text = "cases: {random: 100}\nevaluation: {budget: 366days}\nlimits: {call_timeout: 366days, memory: 1PiB}";
        Config::parse(text).unwrap().settings().unwrap();
    }

    #[test]
    fn a_preset_brings_its_own_cases_and_takes_what_is_given_beside_it() {
        for (preset, topology) in Topology::PRESETS {
            let config = Config::parse(&format!("topology: {{preset: {preset}}}")).unwrap();
            assert_eq!(config.settings().unwrap().evaluation.topology, topology, "{preset}");
        }
        let config = Config::parse("topology: {gpus: 64, replicas: 320, nodes: 8}").unwrap();
        let topology = config.settings().unwrap().evaluation.topology;
        assert_eq!(topology, Topology::preset("deepseek-v3-320").unwrap());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = Config::default().resolved(Path::new("/somewhere"));
        assert_eq!(config.program, Path::new("/somewhere/candidates/eplb.py"));
        assert_eq!(config.loads, None);
    }
}
