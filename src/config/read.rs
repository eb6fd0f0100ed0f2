//! Reading the file, and the words of its reader in ours.

use std::path::Path;

use crate::config::error::ConfigError;
use crate::config::file::Config;
use crate::config::foreign;
use crate::config::message::{Explained, explained};
use crate::config::model::ModelConfig;
use crate::config::source::{DEFAULT_FILE, Source, place};
use crate::values::raw_text::text_of;

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
        let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let text = text_of(&bytes).map_err(|problem| ConfigError::NotText { path: path.to_owned(), problem })?;
        // Editors put a byte order mark there, which YAML allows and its reader does not.
        let text = text.trim_start_matches('\u{feff}').to_owned();
        let config = Self::parse(&text).map_err(|error| explain(path, &text, &error))?;
        let config = Self { source: Some(Source { path: path.to_owned(), text }), ..config };
        Ok(config.resolved(path.parent().unwrap_or(Path::new(""))))
    }
}

/// The library's message in our words, with the place in the file.
pub(super) fn explain(path: &Path, text: &str, error: &serde_yaml::Error) -> ConfigError {
    let place = place(path, error.location());
    let whole = error.to_string();
    let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
    if let Some((group, keys)) = message.split_once("unknown field ") {
        let mut names = keys.split('`').skip(1).step_by(2);
        let (key, known) = (names.next().unwrap_or_default(), names.collect::<Vec<_>>());
        let hint = foreign::meant(key, group.trim_end_matches(": "), &known, &paths(), &below(text, key));
        return ConfigError::Yaml { place, message: message.to_owned(), hint };
    }
    let written = error.location().map_or("", |at| text.get(at.index()..).unwrap_or_default());
    let Explained { message, hint } = explained(message, written);
    ConfigError::Yaml { place, message, hint }
}

/// The paths of all settings.
pub(super) fn paths() -> Vec<String> {
    let tree = |settings| serde_yaml::to_value(settings).expect("BUG: settings can be written as YAML");
    let model = serde_yaml::to_value(ModelConfig::default()).expect("BUG: settings can be written as YAML");
    let mut paths = Vec::new();
    add_paths(&tree(Config::default()), "", &mut paths);
    add_paths(&model, "proposers.models", &mut paths);
    paths
}

fn add_paths(value: &serde_yaml::Value, parent: &str, paths: &mut Vec<String>) {
    for (key, value) in value.as_mapping().into_iter().flatten() {
        let name = key.as_str().unwrap_or_default();
        let path = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        add_paths(value, &path, paths);
        paths.push(path);
    }
}

/// The keys at any depth below the first `key` of a file.
fn below(text: &str, key: &str) -> Vec<String> {
    let value = serde_yaml::from_str(text).unwrap_or(serde_yaml::Value::Null);
    let mut names = Vec::new();
    collect_below(&value, key, false, &mut names);
    names
}

fn collect_below(value: &serde_yaml::Value, key: &str, is_inside: bool, names: &mut Vec<String>) {
    value.as_sequence().into_iter().flatten().for_each(|item| collect_below(item, key, is_inside, names));
    for (name, value) in value.as_mapping().into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if is_inside && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        collect_below(value, key, is_inside || name == key, names);
    }
}
