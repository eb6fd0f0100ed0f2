//! For tests: the commented reference, and what is said of a wrong file.

use std::path::Path;

use crate::config::error::ConfigError;
use crate::config::file::Config;
use crate::config::read::explain;
use crate::config::source::Source;

pub(super) const REFERENCE: &str = include_str!("../../config.yaml");

/// The settings in a tree, by their paths.
pub(super) fn names(value: &serde_yaml::Value) -> Vec<String> {
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
pub(super) fn error_of(text: &str) -> ConfigError {
    let path = Path::new("config.yaml");
    match Config::parse(text) {
        Err(error) => explain(path, text, &error),
        Ok(config) => {
            let source = Source { path: path.to_owned(), text: text.to_owned() };
            Config { source: Some(source), ..config }.settings().unwrap_err()
        }
    }
}

#[track_caller]
pub(super) fn message_of(text: &str) -> String {
    error_of(text).to_string()
}
