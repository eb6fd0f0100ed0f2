//! Texts and paths, as a person writes them. YAML reads a number, a switch or null as a text where one is wanted, but
//! `program: null` does not name a file.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Error, Unexpected, Visitor};

pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_any(Text { wanted: "a text", can_be_null: false }).map(Option::unwrap_or_default)
}

pub(super) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Text { wanted: "a text", can_be_null: true })
}

pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = deserializer.deserialize_any(Text { wanted: "a path", can_be_null: false })?;
    Ok(path.unwrap_or_default().into())
}

pub(super) fn optional_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(deserializer.deserialize_any(Text { wanted: "a path", can_be_null: true })?.map(PathBuf::from))
}

/// A text that is not empty; `None` for null.
struct Text {
    wanted: &'static str,
    can_be_null: bool,
}

/// Other values end in the default methods, which fail.
impl Visitor<'_> for Text {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<String>, E> {
        if text.is_empty() { Err(E::invalid_value(Unexpected::Str(text), &self)) } else { Ok(Some(text.to_owned())) }
    }

    fn visit_unit<E: Error>(self) -> Result<Option<String>, E> {
        if self.can_be_null { Ok(None) } else { Err(E::invalid_type(Unexpected::Unit, &self)) }
    }
}

/// A record must not depend on the working directory.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

pub(super) fn is_path(program: &Path) -> bool {
    program.components().count() > 1
}
