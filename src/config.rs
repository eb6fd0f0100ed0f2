//! Config: settings as a person writes them, in YAML, and their check. The only file that knows YAML.
//!
//! `config.yaml` in the repository is the commented reference; a test keeps it equal to [`Config::default`].

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

use crate::settings::{EvaluationSettings, Parts, SearchSettings, Settings};

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

/// Settings as written. Every field has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // config.yaml is their documentation
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
#[allow(missing_docs)]
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
#[allow(missing_docs)]
pub struct CasesConfig {
    pub global: Option<Vec<GlobalShape>>,
    pub random: usize,
}

/// `evaluation:`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
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
#[allow(missing_docs)]
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
#[allow(missing_docs)]
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
#[allow(missing_docs)]
pub struct ProposersConfig {
    pub corpus: Option<PathBuf>,
    pub compose: Option<PathBuf>,
    pub cross: bool,
    pub mutate: bool,
}

/// Why settings cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{place}: {message}{hint}")]
    Yaml { place: String, message: String, hint: String },
    #[error("{path}: {name}: {message}")]
    Value { path: PathBuf, name: &'static str, message: String },
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
            candidates: 80,
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
        let ProposersConfig { corpus, compose, .. } = &mut self.proposers;
        let optional = [self.loads.as_mut(), python, corpus.as_mut(), compose.as_mut()];
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
            },
        })
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
    let hint = meant(&message).map(|name| format!("\nhint: did you mean `{name}`?")).unwrap_or_default();
    ConfigError::Yaml { place, message, hint }
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
