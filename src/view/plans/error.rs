//! Why a plan cannot be written for an engine, or a plan file cannot be read.

use std::io;
use std::path::PathBuf;

use packevolve_contract::plan::PlanError;

use crate::values::error_kind::{Classify, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    #[error("cannot read the plan {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is {seen}, not a plan", path.display())]
    NotAPlan { path: PathBuf, seen: String },
    /// With the line and the column, both from 1.
    #[error("{}: {problem}", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("{}: {source}", path.display())]
    Invalid { path: PathBuf, source: PlanError },
    #[error("{}: {found}, but {wanted}", path.display())]
    OtherShape { path: PathBuf, found: String, wanted: String },
    #[error("the loads do not say which layers of the model they are of, and {engine} asks for that")]
    NoLayers { engine: &'static str },
}

impl Classify for PlanFileError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAPlan { .. } => "`packevolve help plans` lists the formats".to_owned(),
            Self::NoLayers { .. } => {
                "`--dense N` says how many dense layers come before the first one of the loads, 0 if none".to_owned()
            }
            _ => return None,
        })
    }
}
