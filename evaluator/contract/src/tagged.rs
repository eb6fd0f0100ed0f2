//! Tagged: reads enums that are written as one map with the variant's name as an entry of it.
//!
//! Serde's own reader finds the name wherever it stands, and so has to hold the whole map in memory first: for an
//! evaluation with its raw samples that is several times the work of reading it. We write the name first; where it comes
//! first, the variants that matter are read as they come. All else is left to serde.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, MapAccess, Visitor};

/// An enum that is written with its variant's name in a map.
pub trait Tagged<'de>: Sized {
    /// The key of the name.
    const TAG: &'static str;
    /// The variants that are read as they come.
    const DIRECT: &'static [&'static str];

    /// Reads one of those from the other entries.
    ///
    /// # Errors
    /// Entries that do not fit.
    fn direct<A: MapAccess<'de>>(name: &str, rest: A) -> Result<Self, A::Error>;

    /// Reads any variant, as serde does.
    ///
    /// # Errors
    /// What is no such enum.
    fn any<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads a tagged enum.
///
/// # Errors
/// What is no such enum.
pub fn read<'de, T: Tagged<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Reading(PhantomData))
}

/// The entries of a variant, read into a struct.
///
/// # Errors
/// Entries that do not fit.
pub fn entries<'de, T: serde::Deserialize<'de>, A: MapAccess<'de>>(rest: A) -> Result<T, A::Error> {
    T::deserialize(MapAccessDeserializer::new(rest))
}

struct Reading<T>(PhantomData<T>);

impl<'de, T: Tagged<'de>> Visitor<'de> for Reading<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map with `{}`", T::TAG)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut rest: A) -> Result<T, A::Error> {
        let key: Option<String> = rest.next_key()?;
        let name: Option<String> = match key.as_deref() {
            Some(key) if key == T::TAG => Some(rest.next_value()?),
            _ => None,
        };
        match name {
            Some(name) if T::DIRECT.contains(&name.as_str()) => T::direct(&name, rest),
            value => T::any(MapAccessDeserializer::new(Rejoined { key, value, rest })),
        }
    }
}

/// A map whose first key, and maybe the value with it, was read already.
struct Rejoined<A> {
    key: Option<String>,
    value: Option<String>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rejoined<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.key.take() {
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => self.rest.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.value.take() {
            Some(value) => seed.deserialize(value.into_deserializer()),
            None => self.rest.next_value_seed(seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(remote = "Self", tag = "kind", rename_all = "kebab-case")]
    enum Thing {
        Heavy { values: Vec<f64> },
        Light { word: String },
        Nothing,
    }

    #[derive(Deserialize)]
    struct Heavy {
        values: Vec<f64>,
    }

    impl<'de> Tagged<'de> for Thing {
        const TAG: &'static str = "kind";
        const DIRECT: &'static [&'static str] = &["heavy"];

        fn direct<A: MapAccess<'de>>(_: &str, rest: A) -> Result<Self, A::Error> {
            entries(rest).map(|Heavy { values }| Self::Heavy { values })
        }

        fn any<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::deserialize(deserializer)
        }
    }

    fn parsed(json: &str) -> serde_json::Result<Thing> {
        read(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn a_name_is_found_wherever_it_stands() {
        let heavy = Thing::Heavy { values: vec![0.1, 2.0] };
        for json in [r#"{"kind":"heavy","values":[0.1,2]}"#, r#"{"values":[0.1,2],"kind":"heavy"}"#] {
            assert_eq!(parsed(json).unwrap(), heavy, "{json}");
        }
        let light = Thing::Light { word: "kind".to_owned() };
        for json in [r#"{"kind":"light","word":"kind"}"#, r#"{"word":"kind","kind":"light"}"#] {
            assert_eq!(parsed(json).unwrap(), light, "{json}");
        }
        assert_eq!(parsed(r#"{"kind":"nothing"}"#).unwrap(), Thing::Nothing);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for json in [
            r#"{}"#,
            r#"{"kind":"other"}"#,
            r#"{"kind":3}"#,
            r#"{"kind":"heavy"}"#,
            r#"{"kind":"heavy","values":["a"]}"#,
            r#"{"values":[]}"#,
            "[]",
        ] {
            assert!(parsed(json).unwrap_err().is_data(), "{json}");
        }
        assert!(parsed(r#"{"kind":"heavy","values":[1"#).unwrap_err().is_eof());
    }
}
