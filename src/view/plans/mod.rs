//! Plans: the files by which engines take a plan, written and read, and the figures of a plan.
#![doc = include_str!("../../cli/help/plans.md")]

pub mod error;
pub mod layers;
mod written;
mod sglang;
mod tensorrt;
mod vllm;
mod ascend;
pub mod own;
pub mod file;
pub mod figures;
mod shown;

pub use error::PlanFileError;
pub use figures::{Against, Figures, Planning, arranged};
pub use file::{Engine, PlanFile};
pub use layers::ModelLayers;
pub use shown::planning_text;
