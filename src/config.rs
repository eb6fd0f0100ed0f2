//! Config: settings as a person writes them, in YAML, and their check. The only file that knows YAML.
//!
//! `config.yaml` in the repository is the commented reference; a test keeps it equal to [`Config::default`].

use std::collections::BTreeMap;
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
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::settings::{
    EvaluationSettings, LlmSettings, ModelSettings, Parts, Prices, SearchSettings, Settings,
};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "config.yaml";

/// Plenty. Only some 30,000 shapes can be drawn, so drawing more would never end.
const MOST_RANDOM_CASES: usize = 100;
/// Beyond any run, and within what clocks and timers of every layer can hold.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// 1 PiB: beyond any machine, and within what the system's limits can hold.
const LARGEST: ByteSize = ByteSize::pib(1);
/// Entries of one window of loads, `layers * experts`: 32 MiB, some 180 times the largest preset.
const LARGEST_WINDOW: usize = 1 << 22;
/// Entries of one call, `rows * items`: 128 MiB of weights.
const LARGEST_CALL: usize = 1 << 24;

/// A reply of a model that is still read.
const LARGEST_REPLY: ByteSize = ByteSize::gib(1);
/// More tries would only hide that an endpoint is down.
const MOST_RETRIES: u32 = 20;
/// For a million tokens: beyond any price, and such that no cost overflows.
const MOST_DOLLARS: f64 = 1e6;
/// What a request consists of, and what would change how a reply is to be read or counted.
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
}

/// `topology:`
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

/// `cases:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CasesConfig {
    pub global: Option<Vec<GlobalShape>>,
    pub random: usize,
}

/// `evaluation:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationConfig {
    pub device: String,
    pub python: Option<PathBuf>,
    pub windows: Option<usize>,
    pub held_out: usize,
    #[serde(with = "humantime_serde")]
    pub budget: Option<Duration>,
    pub weights: Weights,
}

/// `limits:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    #[serde(with = "humantime_serde")]
    pub call: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub evaluation: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub load: Duration,
    #[serde(with = "humantime_serde")]
    pub compile: Duration,
    pub memory: ByteSize,
    pub output: ByteSize,
    pub threads: u32,
    pub scratch: ByteSize,
    pub scratch_files: u32,
}

/// `search:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchConfig {
    pub candidates: u64,
    #[serde(with = "humantime_serde")]
    pub wall_time: Option<Duration>,
    pub target_score: Option<f64>,
    pub islands: usize,
    pub population: usize,
    pub migration: u64,
    pub restart: u64,
    pub front: usize,
    pub slots: Option<usize>,
}

/// `proposers:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProposersConfig {
    pub corpus: Option<PathBuf>,
    pub compose: Option<PathBuf>,
    pub cross: bool,
    pub mutate: bool,
    pub prune: u64,
    pub models: Vec<ModelConfig>,
    pub prompts: Option<PathBuf>,
    pub repairs: u32,
    pub summary_every: u64,
    pub budget: BudgetConfig,
}

/// `proposers.budget:`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetConfig {
    pub tokens: Option<u64>,
    pub dollars: Option<f64>,
}

/// An entry of `proposers.models:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    pub name: Option<String>,
    pub base_url: String,
    pub model: String,
    pub key_env: Option<String>,
    pub parameters: BTreeMap<String, serde_json::Value>,
    pub requests: usize,
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    pub retries: u32,
    #[serde(with = "humantime_serde")]
    pub retry_wait: Duration,
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
    pub reply: ByteSize,
    pub prices: Prices,
}

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{place}: {message}")]
    Yaml { place: String, message: String, meant: Option<String> },
    #[error("{path}: {name}: {message}")]
    Value { path: PathBuf, name: &'static str, message: String },
}

impl Classify for ConfigError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { .. } | Self::Yaml { .. } | Self::Value { .. } => ErrorKind::Input,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml { meant: Some(name), .. } => Some(format!("did you mean `{name}`?")),
            _ => None,
        }
    }
}

/// A setting's name and what is wrong with its value.
type Wrong = (&'static str, String);

fn at_most(what: &str, value: usize, limit: usize) -> Result<(), String> {
    if value <= limit {
        return Ok(());
    }
    Err(format!("{what} must be at most {limit}"))
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
    /// The preset with what was given beside it.
    fn topology(&self) -> Result<Topology, String> {
        let preset = Topology::preset(&self.preset).ok_or_else(|| {
            let names = Topology::PRESETS.map(|(name, _)| name).join(", ");
            format!("unknown preset {:?}, expected one of {names}", self.preset)
        })?;
        let topology = Topology {
            layers: self.layers.unwrap_or(preset.layers),
            experts: self.experts.unwrap_or(preset.experts),
            groups: self.groups.unwrap_or(preset.groups),
            nodes: self.nodes.unwrap_or(preset.nodes),
            gpus: self.gpus.unwrap_or(preset.gpus),
            replicas: self.replicas.unwrap_or(preset.replicas),
        };
        topology.check().map_err(|error| error.to_string())?;
        at_most("layers * experts", topology.layers.saturating_mul(topology.experts), LARGEST_WINDOW)?;
        // GPUs, nodes and groups divide these, so no product of a case can overflow from here on.
        at_most("layers * replicas", topology.layers.saturating_mul(topology.replicas), LARGEST_CALL)?;
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
            windows: Some(4),
            held_out: 4,
            budget: Some(Duration::from_secs(15)),
            weights: Weights::default(),
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            call: None,
            evaluation: None,
            load: Duration::from_secs(30),
            compile: Duration::from_secs(120),
            memory: ByteSize::gib(4),
            output: ByteSize::mib(16),
            threads: 64,
            scratch: ByteSize::mib(64),
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
            population: 12,
            migration: 20,
            restart: 40,
            front: 50,
            slots: None,
        }
    }
}

impl Default for ProposersConfig {
    fn default() -> Self {
        Self {
            corpus: Some("candidates/proposals".into()),
            compose: Some("candidates/blocks".into()),
            cross: true,
            mutate: true,
            prune: 120,
            models: Vec::new(),
            prompts: None,
            repairs: 2,
            summary_every: 25,
            budget: BudgetConfig::default(),
        }
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
            requests: 2,
            timeout: Duration::from_secs(5 * 60),
            retries: 3,
            retry_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(60),
            reply: ByteSize::mib(4),
            prices: Prices::default(),
        }
    }
}

impl ModelConfig {
    /// Checked and complete.
    fn settings(&self) -> Result<ModelSettings, String> {
        self.check_address()?;
        let settings = ModelSettings {
            name: self.name.clone().unwrap_or_else(|| self.model.clone()),
            base_url: self.base_url.clone(),
            model: self.model.clone(),
            key_env: self.key_env.clone(),
            parameters: self.parameters.clone(),
            requests: self.requests,
            timeout_seconds: self.timeout.as_secs_f64(),
            retries: self.retries,
            retry_wait_seconds: self.retry_wait.as_secs_f64(),
            longest_wait_seconds: self.longest_wait.as_secs_f64(),
            reply_bytes: self.reply.as_u64(),
            prices: self.prices,
        };
        if let Some(name) = OUR_PARAMETERS.into_iter().find(|name| self.parameters.contains_key(*name)) {
            return Err(format!("parameters: {name} cannot be set here"));
        }
        if settings.most_completion_tokens() == 0 {
            let limits = ModelSettings::COMPLETION_LIMITS.join(" or ");
            return Err(format!("parameters: {limits} is wanted, so that the cost of a reply is bounded"));
        }
        self.check_amounts()?;
        Ok(settings)
    }

    fn check_address(&self) -> Result<(), String> {
        let rest = self.base_url.strip_prefix("https://").or_else(|| self.base_url.strip_prefix("http://"));
        let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
            return Err(format!("base_url: {:?}, an http:// or https:// address is wanted", self.base_url));
        };
        // A password in an address would be recorded with it.
        if rest.contains(['@', '?', '#']) || rest.contains(char::is_whitespace) {
            return Err("base_url: no user, password, `?` or `#` can be in it; a key goes through key_env".to_owned());
        }
        match () {
            () if self.model.is_empty() => Err("model: the name by which the endpoint knows it is wanted".to_owned()),
            () if self.key_env.as_deref().is_some_and(|name| name.is_empty() || name.contains(['=', '\0', ' '])) => {
                Err("key_env: the name of an environment variable is wanted".to_owned())
            }
            () => Ok(()),
        }
    }

    fn check_amounts(&self) -> Result<(), String> {
        let times = [("timeout", self.timeout), ("retry_wait", self.retry_wait), ("longest_wait", self.longest_wait)];
        if let Some((name, _)) = times.into_iter().find(|(_, time)| *time > LONGEST || time.is_zero()) {
            return Err(format!("{name}: it must be above 0 and at most 366 days"));
        }
        let price = |price: f64| (0.0..=MOST_DOLLARS).contains(&price);
        match () {
            () if self.requests == 0 => Err("requests: 0, it must be at least 1".to_owned()),
            () if self.retries > MOST_RETRIES => Err(format!("retries: it must be at most {MOST_RETRIES}")),
            () if self.reply == ByteSize(0) || self.reply > LARGEST_REPLY => {
                Err("reply: it must be above 0 and at most 1 GiB".to_owned())
            }
            () if !price(self.prices.prompt) || !price(self.prices.completion) => {
                Err(format!("prices: from 0 to {MOST_DOLLARS} dollars for a million tokens are possible"))
            }
            () => Ok(()),
        }
    }
}

impl Config {
    /// Reads `path`; without one, [`DEFAULT_FILE`] of the current folder if it is there, else the defaults. Paths in
    /// the result are relative to where `path` is.
    ///
    /// # Errors
    /// A file that cannot be read, or is no config: with line, column and what was probably meant.
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
        Ok(config.resolved(path.parent().unwrap_or(Path::new(""))))
    }

    fn parse(text: &str) -> Result<Self, serde_yaml::Error> {
        // A file of comments alone is null to YAML, and means the defaults.
        Ok(serde_yaml::from_str::<Option<Self>>(text)?.unwrap_or_default())
    }

    fn resolved(mut self, folder: &Path) -> Self {
        let required = [&mut self.program, &mut self.baseline, &mut self.runs];
        // A name alone is looked for where the system looks for programs.
        let python = self.evaluation.python.as_mut().filter(|python| is_path(python));
        let ProposersConfig { corpus, compose, prompts, .. } = &mut self.proposers;
        let optional = [self.loads.as_mut(), python, corpus.as_mut(), compose.as_mut(), prompts.as_mut()];
        for path in required.into_iter().chain(optional.into_iter().flatten()) {
            *path = folder.join(&*path);
        }
        self
    }

    /// Checks everything and fills in what depends on the machine. `file` is named in errors.
    ///
    /// # Errors
    /// The first value that cannot work.
    pub fn settings(&self, file: &Path) -> Result<Settings, ConfigError> {
        let wrong = |name, message: String| ConfigError::Value { path: file.to_owned(), name, message };
        let topology = self.topology.topology().map_err(|message| wrong("topology", message))?;
        let global = self.cases.global.clone().unwrap_or_else(|| case::global_shapes(&topology));
        self.check_cases(&topology, &global).map_err(|(name, message)| wrong(name, message))?;
        self.check_amounts().map_err(|(name, message)| wrong(name, message))?;
        let Weights { quality, speed } = self.evaluation.weights;
        if !(quality >= 0.0 && speed >= 0.0 && (quality + speed).is_finite() && quality + speed > 0.0) {
            return Err(wrong("evaluation.weights", "two numbers from 0 on, not both 0, are wanted".to_owned()));
        }
        if let Some(dollars) = self.proposers.budget.dollars.filter(|dollars| !(0.0..=MOST_DOLLARS).contains(dollars)) {
            let message = format!("{dollars}, from 0 to {MOST_DOLLARS} dollars are possible");
            return Err(wrong("proposers.budget.dollars", message));
        }
        let counts = [
            ("evaluation.windows", self.evaluation.windows),
            ("search.islands", Some(self.search.islands)),
            ("search.population", Some(self.search.population)),
            ("search.migration", usize::try_from(self.search.migration).ok()),
            ("search.restart", usize::try_from(self.search.restart).ok()),
            ("search.front", Some(self.search.front)),
            ("search.slots", self.search.slots),
            ("search.candidates", usize::try_from(self.search.candidates).ok()),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == Some(0)) {
            return Err(wrong(name, "0, it must be at least 1".to_owned()));
        }
        Ok(Settings {
            rng_seed: self.rng_seed,
            evaluation: self.evaluation_settings(topology, global),
            search: SearchSettings {
                candidates: self.search.candidates,
                wall_seconds: self.search.wall_time.map(|time| time.as_secs_f64()),
                target_score: self.search.target_score,
                islands: self.search.islands,
                population: self.search.population,
                migration: self.search.migration,
                restart: self.search.restart,
                front: self.search.front,
                slots: self.search.slots.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
                proposers: Parts {
                    compose: self.proposers.compose.is_some(),
                    cross: self.proposers.cross,
                    mutate: self.proposers.mutate,
                },
                prune: self.proposers.prune,
            },
            llm: self.llm_settings().map_err(|message| wrong("proposers.models", message))?,
        })
    }

    /// The models, each under a name of its own.
    fn llm_settings(&self) -> Result<LlmSettings, String> {
        let ProposersConfig { models: written, prompts, repairs, summary_every, .. } = &self.proposers;
        if written.is_empty() {
            return Ok(LlmSettings::default());
        }
        let mut models: Vec<ModelSettings> = Vec::new();
        for (number, model) in (1..).zip(written) {
            let model = model.settings().map_err(|message| format!("number {number}: {message}"))?;
            if models.iter().any(|other| other.name == model.name) {
                return Err(format!("number {number}: {:?} is the name of another one too", model.name));
            }
            models.push(model);
        }
        let BudgetConfig { tokens: budget_tokens, dollars: budget_dollars } = self.proposers.budget;
        let (prompts, repairs, summary_every) = (prompts.as_deref().map(absolute), *repairs, *summary_every);
        Ok(LlmSettings { models, prompts, repairs, summary_every, budget_tokens, budget_dollars })
    }

    /// Not so many random cases that drawing them never ends, and no case larger than a machine.
    fn check_cases(&self, topology: &Topology, global: &[GlobalShape]) -> Result<(), Wrong> {
        at_most("it", self.cases.random, MOST_RANDOM_CASES).map_err(|message| ("cases.random", message))?;
        let cases = case::cases(topology, global, self.cases.random, self.rng_seed)
            .map_err(|error| ("cases", error.to_string()))?;
        for case in &cases {
            at_most(&format!("rows * items of {case}"), case.rows.saturating_mul(case.items), LARGEST_CALL)
                .map_err(|message| ("cases", message))?;
        }
        Ok(())
    }

    /// Times and sizes that every layer below can hold.
    fn check_amounts(&self) -> Result<(), Wrong> {
        let times = [
            ("evaluation.budget", self.evaluation.budget),
            ("limits.call", self.limits.call),
            ("limits.evaluation", self.limits.evaluation),
            ("limits.load", Some(self.limits.load)),
            ("limits.compile", Some(self.limits.compile)),
            ("search.wall_time", self.search.wall_time),
        ];
        if let Some((name, _)) = times.into_iter().find(|(_, time)| *time > Some(LONGEST)) {
            return Err((name, "it must be at most 366 days".to_owned()));
        }
        let sizes = [
            ("limits.memory", self.limits.memory),
            ("limits.output", self.limits.output),
            ("limits.scratch", self.limits.scratch),
        ];
        match sizes.into_iter().find(|(_, size)| *size > LARGEST) {
            Some((name, _)) => Err((name, "it must be at most 1 PiB".to_owned())),
            None => Ok(()),
        }
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
                None => Loads::MadeUp { rng_seed: self.rng_seed },
            },
            windows: self.evaluation.windows,
            held_out: self.evaluation.held_out,
            budget_seconds: self.evaluation.budget.map(|budget| budget.as_secs_f64()),
            weights: self.evaluation.weights,
            limits: Limits {
                call_seconds: self.limits.call.map(|time| time.as_secs_f64()),
                evaluation_seconds: self.limits.evaluation.map(|time| time.as_secs_f64()),
                load_seconds: self.limits.load.as_secs_f64(),
                compile_seconds: self.limits.compile.as_secs_f64(),
                memory_bytes: self.limits.memory.as_u64(),
                output_bytes: self.limits.output.as_u64(),
                threads: self.limits.threads,
                scratch_bytes: self.limits.scratch.as_u64(),
                scratch_files: self.limits.scratch_files,
            },
            sandbox: self.sandbox,
            allow_compile: self.allow_compile,
        }
    }
}

/// What a run records must mean the same from any working directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn is_path(program: &Path) -> bool {
    program.components().count() > 1
}

/// The library's message with the place in the file in front, and what was probably meant behind.
fn explain(path: &Path, error: &serde_yaml::Error) -> ConfigError {
    let place = match error.location() {
        Some(location) => format!("{}:{}:{}", path.display(), location.line(), location.column()),
        None => path.display().to_string(),
    };
    let text = error.to_string();
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    let meant = meant(&message).map(str::to_owned);
    ConfigError::Yaml { place, message, meant }
}

/// The known name nearest to an unknown one, out of serde's "unknown field `x`, expected one of `a`, `b`".
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
    fn message_of(text: &str) -> String {
        let path = Path::new("config.yaml");
        match Config::parse(text) {
            Err(error) => explain(path, &error).to_string(),
            Ok(config) => config.settings(path).unwrap_err().to_string(),
        }
    }

    #[test]
    fn a_typo_is_told_with_its_line_and_what_was_meant() {
        let message = message_of("rng_seed: 2\nevaluation:\n  windos: 3\n");
        assert!(message.starts_with("config.yaml:3:3: "), "{message}");
        assert!(message.contains("unknown field `windos`"), "{message}");
        assert!(message.ends_with("hint: did you mean `windows`?"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_told_with_its_line() {
        let message = message_of("rng_seed: 2\nlimits:\n  memory: much\n");
        assert!(message.starts_with("config.yaml:3:"), "{message}");
    }

    #[test]
    fn values_that_cannot_work_are_refused_by_name() {
        for (text, wanted) in [
            (
                "topology: {layers: 58, experts: 256, groups: 8, nodes: 4, gpus: 32, replicas: 290}",
                "topology: replicas",
            ),
            ("cases: {global: [{replicas: 256, gpus: 48}]}", "cases: replicas (256)"),
            ("evaluation: {windows: 0}", "evaluation.windows: 0"),
            ("evaluation: {weights: {quality: -1, speed: 1}}", "evaluation.weights"),
            ("search: {candidates: 0}", "search.candidates: 0"),
            ("proposers: {budget: {dollars: -1}}", "proposers.budget.dollars: -1"),
            ("proposers: {budget: {dollars: .nan}}", "proposers.budget.dollars: NaN"),
            ("cases: {random: 101}", "cases.random: it must be at most 100"),
            ("cases: {global: [{replicas: 320000000, gpus: 32}]}", "cases: rows * items of 320000000->32 must be"),
            ("cases: {global: [{replicas: 9223372036854775808, gpus: 32}]}", "cases: rows * items of 92"),
            ("topology: {layers: 20000}", "topology: layers * experts must be at most 4194304"),
            ("topology: {layers: 9223372036854775808}", "topology: layers * experts"),
            ("topology: {replicas: 9223372036854775808}", "topology: layers * replicas must be at most 16777216"),
            ("evaluation: {budget: 367days}", "evaluation.budget: it must be at most 366 days"),
            ("limits: {call: 500000000000years}", "limits.call: it"),
            ("limits: {load: 367days}", "limits.load: it"),
            ("search: {wall_time: 367days}", "search.wall_time: it"),
            ("limits: {memory: 1025TiB}", "limits.memory: it must be at most 1 PiB"),
            ("limits: {output: 2PiB}", "limits.output: it"),
            ("limits: {scratch: 2PiB}", "limits.scratch: it"),
        ] {
            let message = message_of(text);
            assert!(message.contains(wanted), "{message}");
        }
    }

    #[test]
    fn a_model_that_cannot_work_is_refused_by_number_and_name() {
        for (entry, wanted) in [
            ("", "number 2: base_url: \"\", an http"),
            ("base_url: ftp://a, model: m", "base_url: \"ftp://a\""),
            ("base_url: 'https://', model: m", "base_url: \"https://\""),
            ("base_url: 'https://user:secret@a/v1', model: m", "base_url: no user, password"),
            ("base_url: 'https://a/v1?key=secret', model: m", "base_url: no user, password"),
            ("base_url: 'http://a'", "model: the name"),
            ("base_url: 'http://a', model: m, key_env: ''", "key_env: the name"),
            ("base_url: 'http://a', model: m, parameters: {temperature: 1}", "max_completion_tokens or max_tokens"),
            ("base_url: 'http://a', model: m, parameters: {max_tokens: 9, n: 2}", "parameters: n cannot"),
            ("base_url: 'http://a', model: m, parameters: {max_tokens: 9, stream: true}", "parameters: stream cannot"),
            ("base_url: 'http://a', model: m, timeout: 0s", "timeout: it must be above 0"),
            ("base_url: 'http://a', model: m, longest_wait: 367days", "longest_wait: it must be above 0"),
            ("base_url: 'http://a', model: m, retries: 21", "retries: it must be at most 20"),
            ("base_url: 'http://a', model: m, requests: 0", "requests: 0"),
            ("base_url: 'http://a', model: m, reply: 2GiB", "reply: it must be"),
            ("base_url: 'http://a', model: m, prices: {prompt: -1}", "prices: from 0"),
            ("base_url: 'http://a', model: m, prices: {completion: .nan}", "prices: from 0"),
            ("base_url: 'http://a', model: first", "\"first\" is the name of another"),
        ] {
            let first = "{base_url: 'http://a', model: first}";
            let message = message_of(&format!("proposers: {{models: [{first}, {{{entry}}}]}}"));
            assert!(message.contains("proposers.models: number 2: ") && message.contains(wanted), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_typo_in_a_model_is_told_with_its_line() {
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
        let settings = Config::parse(&text).unwrap().settings(Path::new("c")).unwrap();
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
        let settings = Config::default().settings(Path::new("c")).unwrap();
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!(json.get("llm"), None);
        let read: Settings = serde_json::from_value(json).unwrap();
        assert_eq!(read.llm, LlmSettings::default());
    }

    #[test]
    fn the_largest_values_that_can_work_are_taken() {
        let text = "cases: {random: 100}\nevaluation: {budget: 366days}\nlimits: {call: 366days, memory: 1PiB}";
        Config::parse(text).unwrap().settings(Path::new("c")).unwrap();
    }

    #[test]
    fn a_preset_brings_its_own_cases_and_takes_what_is_given_beside_it() {
        for (preset, topology) in Topology::PRESETS {
            let config = Config::parse(&format!("topology: {{preset: {preset}}}")).unwrap();
            assert_eq!(config.settings(Path::new("c")).unwrap().evaluation.topology, topology, "{preset}");
        }
        let config = Config::parse("topology: {gpus: 64, replicas: 320, nodes: 8}").unwrap();
        let topology = config.settings(Path::new("c")).unwrap().evaluation.topology;
        assert_eq!(topology, Topology::preset("deepseek-v3-320").unwrap());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = Config::default().resolved(Path::new("/somewhere"));
        assert_eq!(config.program, Path::new("/somewhere/candidates/eplb.py"));
        assert_eq!(config.loads, None);
    }
}
