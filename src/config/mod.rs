//! Settings as a person writes them, and their checks. The only folder that knows YAML.
//!
//! `config.yaml` in the repository is the commented reference; a test keeps it equal to [`Config::default`].

mod written;
mod asset;
mod message;
mod foreign;
mod error;
mod wrong;
mod source;
mod topology;
mod cases;
mod deployment;
mod evaluation;
mod limits;
mod search;
mod place;
mod key;
mod model;
mod proposers;
mod file;
mod read;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::asset::Asset;
pub use self::cases::CasesConfig;
pub use self::deployment::DeploymentConfig;
pub use self::error::ConfigError;
pub use self::evaluation::EvaluationConfig;
pub use self::file::{Config, Target};
pub use self::limits::LimitsConfig;
pub use self::model::ModelConfig;
pub use self::place::PlaceConfig;
pub use self::proposers::{BudgetConfig, ComposeConfig, ProposersConfig, PruneConfig, SwitchConfig};
pub use self::search::SearchConfig;
pub use self::topology::TopologyConfig;
