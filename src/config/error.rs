//! Why settings cannot be used: the file, the place in it, the setting.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::raw_text::NotText;

#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is {problem}")]
    NotText { path: PathBuf, problem: NotText },
    #[error("{place}: {message}")]
    Yaml { place: String, message: String, hint: Option<String> },
    #[error("{place}: {key}{problem}")]
    Value { place: String, key: String, problem: String },
}

impl Classify for ConfigError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}
