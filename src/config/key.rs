//! The variable with the key of a language model. A value that may be the key itself is never repeated.

use std::fmt;

use serde::de::{Deserializer, Visitor};

use crate::config::wrong::Wrong;

/// The length from which a name with digits may be a key.
const KEY_LENGTH: usize = 16;

/// The message never repeats the value: it may be the key.
pub(super) fn check_variable(name: &str) -> Result<(), Wrong> {
    let wrong = |problem: &str| {
        Err(Wrong::new("key_env", format_args!("must be the name of an environment variable{problem}")))
    };
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = |name: &str| name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit());
    if is_name(name) {
        // A variable that is set has this name, however odd.
        return match looks_like_key(name) && std::env::var_os(name).is_none() {
            true => wrong(", not a key; no variable of this name is set"),
            false => Ok(()),
        };
    }
    let inner = name.trim_start_matches('$').trim_start_matches('{').trim_end_matches('}');
    match name.starts_with('$') && is_name(inner) && !looks_like_key(inner) {
        true => wrong(&format!(", without `$`: write `key_env: {inner}`")),
        false => wrong(" of letters, digits and _, not a key"),
    }
}

/// Whether a text is rather a key than a name: long, with digits, and in small letters or without a `_`.
pub(super) fn looks_like_key(text: &str) -> bool {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || ['_', '-'].contains(&c));
    let has_digit = text.contains(|c: char| c.is_ascii_digit());
    is_plain
        && has_digit
        && text.len() >= KEY_LENGTH
        && (!text.contains('_') || text.contains(|c: char| c.is_ascii_lowercase()))
}

/// Refuses other values than a text without repeating them.
pub(super) fn name_of_variable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(VariableName)
}

struct VariableName;

impl<'de> Visitor<'de> for VariableName {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an environment variable")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Some(name.to_owned()))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(E::custom("a number, expected the name of an environment variable"))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        self.visit_i64(0)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        self.visit_i64(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_set_may_have_any_name() {
        assert!(looks_like_key("sk_0123456789abcdef") && looks_like_key("AKIAIOSFODNN7EXAMPLE"));
        assert!(!looks_like_key("OPENAI_API_KEY_2") && !looks_like_key("my_key_of_today") && !looks_like_key("KEY2"));
        // Cargo sets it for tests.
        check_variable("CARGO_MANIFEST_DIR").unwrap();
        check_variable("A_VARIABLE_THAT_IS_NOT_SET_2").unwrap();
    }
}
