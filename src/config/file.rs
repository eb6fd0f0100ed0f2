//! The whole file of settings, and its checks.

use std::path::{Path, PathBuf};

use packevolve_contract::case::{self, GlobalShape};
use packevolve_contract::loads::Loads;
use packevolve_contract::protocol::Sandbox;
use packevolve_contract::serving::Serving;
use packevolve_contract::topology::Topology;
use serde::{Deserialize, Serialize};

use crate::config::asset::Asset;
use crate::config::cases::CasesConfig;
use crate::config::deployment::DeploymentConfig;
use crate::config::error::ConfigError;
use crate::config::evaluation::EvaluationConfig;
use crate::config::limits::LimitsConfig;
use crate::config::place::PlaceConfig;
use crate::config::proposers::ProposersConfig;
use crate::config::search::SearchConfig;
use crate::config::source::{DEFAULT_FILE, Source};
use crate::config::topology::TopologyConfig;
use crate::config::written::{self, absolute, is_path};
use crate::config::wrong::{Wrong, demand};
use crate::values::place::Place;
use crate::values::settings::{EvaluationSettings, Parts, PolicySettings, SearchSettings, Settings};

/// What is evolved and measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// `balanced_packing`.
    #[default]
    Packing,
    /// The whole `rebalance_experts`, from the plan in force.
    Policy,
}

/// The seed program of packing, and the baseline of both targets: DeepSeek's planner.
const SEED: &str = "candidates/eplb.py";
/// The seed program of policies, whose editable region holds the whole planner.
const POLICY_SEED: &str = "candidates/policy.py";
/// The corpus of packing.
const CORPUS: &str = "candidates/proposals";

/// Settings as written. Every field has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub target: Target,
    pub program: Asset,
    pub baseline: Asset,
    #[serde(deserialize_with = "written::path")]
    pub runs: PathBuf,
    pub rng_seed: u64,
    pub topology: TopologyConfig,
    pub cases: CasesConfig,
    pub deployment: DeploymentConfig,
    #[serde(deserialize_with = "written::optional_path")]
    pub loads: Option<PathBuf>,
    pub evaluation: EvaluationConfig,
    pub limits: LimitsConfig,
    pub sandbox: Sandbox,
    pub allow_compile: bool,
    pub search: SearchConfig,
    pub judges: Vec<PlaceConfig>,
    pub proposers: ProposersConfig,
    /// The file that they come from, for errors.
    #[serde(skip)]
    pub(super) source: Option<Source>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target: Target::default(),
            program: Asset::Shipped(SEED),
            baseline: Asset::Shipped(SEED),
            runs: "runs".into(),
            rng_seed: 1,
            topology: TopologyConfig::default(),
            cases: CasesConfig::default(),
            deployment: DeploymentConfig::default(),
            loads: None,
            evaluation: EvaluationConfig::default(),
            limits: LimitsConfig::default(),
            sandbox: Sandbox::default(),
            allow_compile: false,
            search: SearchConfig::default(),
            judges: vec![PlaceConfig::default()],
            proposers: ProposersConfig::default(),
            source: None,
        }
    }
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Self, serde_yaml::Error> {
        // A file of comments alone is null to YAML, and means the defaults.
        Ok(serde_yaml::from_str::<Option<Self>>(text)?.unwrap_or_default().of_target())
    }

    /// For policies: with their seed program instead of the default one, and without the default corpus, whether or not the
    /// settings name these: both are for packing.
    fn of_target(mut self) -> Self {
        if self.target != Target::Policy {
            return self;
        }
        if self.program.path() == Path::new(SEED) {
            self.program = match self.program {
                Asset::Shipped(_) => Asset::Shipped(POLICY_SEED),
                Asset::At(_) => Asset::At(POLICY_SEED.into()),
            };
        }
        self.proposers.corpus = self.proposers.corpus.filter(|corpus| corpus.path() != Path::new(CORPUS));
        self
    }

    pub(super) fn resolved(mut self, folder: &Path) -> Self {
        let ProposersConfig { corpus, compose, prompts, .. } = &mut self.proposers;
        let assets = [&mut self.program, &mut self.baseline, &mut compose.blocks];
        assets.into_iter().chain(corpus).for_each(|asset| asset.resolve(folder));
        // What is launched elsewhere has its path there.
        let here = self.judges.iter_mut().filter(|place| place.launch.is_empty());
        here.filter_map(|place| place.judge.as_mut()).for_each(|judge| *judge = folder.join(&*judge));
        // A bare name is looked up in PATH.
        let python = self.evaluation.python.as_mut().filter(|python| is_path(python));
        let optional = [self.loads.as_mut(), python, prompts.as_mut()];
        for path in [&mut self.runs].into_iter().chain(optional.into_iter().flatten()) {
            *path = folder.join(&*path);
        }
        self
    }

    /// The prices of the target `policy`, checked; nothing else is.
    pub fn serving(&self) -> Result<Serving, ConfigError> {
        self.deployment.check().map(|()| self.deployment.serving()).map_err(|wrong| self.wrong(wrong))
    }

    fn wrong(&self, Wrong { key, problem }: Wrong) -> ConfigError {
        let place = self.source.as_ref().map_or(DEFAULT_FILE.to_owned(), |source| source.place(&key));
        ConfigError::Value { place, key, problem }
    }

    /// Checks every value, fills in what depends on the machine, and draws `loads_seed` if the file has none.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        self.checked().map_err(|wrong| self.wrong(wrong))
    }

    fn checked(&self) -> Result<Settings, Wrong> {
        let topology = self.topology.topology()?;
        let global = self.cases.global.clone().unwrap_or_else(|| case::global_shapes(&topology));
        self.cases.check(&topology, &global, self.rng_seed)?;
        self.deployment.check()?;
        self.evaluation.check()?;
        self.limits.check()?;
        self.search.check()?;
        self.proposers.check()?;
        Ok(Settings {
            rng_seed: self.rng_seed,
            evaluation: self.evaluation_settings(topology, global),
            search: self.search_settings(),
            judges: self.places()?,
            llm: self.proposers.llm_settings()?,
        })
    }

    fn search_settings(&self) -> SearchSettings {
        let ProposersConfig { compose, cross, mutate, prune, .. } = &self.proposers;
        let search = &self.search;
        SearchSettings {
            candidates: search.candidates,
            wall_seconds: search.wall_time.map(|time| time.as_secs_f64()),
            target_score: search.target_score,
            islands: search.islands,
            population_size: search.population_size,
            migration_interval: search.migration_interval,
            stagnation_limit: search.stagnation_limit,
            pareto_bins: search.pareto_bins,
            proposers: Parts { compose: compose.enabled, cross: cross.enabled, mutate: mutate.enabled },
            prune_attempts: if prune.enabled { prune.attempts } else { 0 },
        }
    }

    fn places(&self) -> Result<Vec<Place>, Wrong> {
        demand(!self.judges.is_empty(), "judges", "empty", "a list of at least one place")?;
        let is_on_gpu = self.evaluation.is_on_gpu();
        let place = |(at, place): (usize, &PlaceConfig)| {
            place.place(is_on_gpu).map_err(|wrong| wrong.inside(&format!("judges[{at}]")))
        };
        self.judges.iter().enumerate().map(place).collect()
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
            policy: (self.target == Target::Policy).then(|| PolicySettings {
                deployment: self.deployment.serving(),
                chain_windows: self.evaluation.chain_windows,
            }),
            limits: self.limits.limits(),
            sandbox: self.sandbox,
            allow_compile: self.allow_compile,
        }
    }
}
