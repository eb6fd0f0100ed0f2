//! The file of the settings, and where a setting stands in it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Read if it exists and the command line names no file.
pub(super) const DEFAULT_FILE: &str = "config.yaml";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// File, line and column of a setting, or of the nearest one around it that the file has.
    pub(super) fn place(&self, key: &str) -> String {
        let (key, _) = key.split_once(':').unwrap_or((key, ""));
        let path: Vec<&str> = key.split(['.', '[', ']']).filter(|step| !step.is_empty()).collect();
        let stops = (1..=path.len())
            .rev()
            .map(|length| Seek(&path[..length]).deserialize(serde_yaml::Deserializer::from_str(&self.text)).err());
        place(&self.path, stops.flatten().find_map(|stop| stop.location()))
    }
}

pub(super) fn place(path: &Path, location: Option<serde_yaml::Location>) -> String {
    match location {
        Some(location) => format!("{}:{}:{}", path.display(), location.line(), location.column()),
        None => path.display().to_string(),
    }
}

/// Reads up to a value and stops there with an error, which has the place of the value. Serde gives no other access to
/// places.
struct Seek<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Scalars end in the default methods, which fail.
impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let [step, rest @ ..] = self.0 else { return Err(A::Error::custom("here")) };
        while let Some(key) = map.next_key::<String>()? {
            if key == *step {
                map.next_value_seed(Seek(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let [step, rest @ ..] = self.0 else { return Err(A::Error::custom("here")) };
        let at = step.parse().unwrap_or(0);
        for _ in 0..at {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(Seek(rest))?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
