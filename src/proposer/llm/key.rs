//! The API key of an endpoint. It comes from the environment, goes into one header, and appears nowhere else.

use std::env;
use std::fmt;

use crate::values::llm_error::LlmError;

/// A shorter key is not a secret but a placeholder such as `EMPTY`, which may occur anywhere.
const SECRET: usize = 8;
/// Replaces a key in a text.
const REDACTED: &[u8] = b"[key]";

/// Cannot be printed, compared or serialised.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// Reads an environment variable, which must be set, not empty, and fit for a header.
    pub fn from_env(variable: &str) -> Result<Self, LlmError> {
        let value = env::var_os(variable).unwrap_or_default();
        let error = || LlmError::BadKey { variable: variable.to_owned() };
        let value = value.into_string().map_err(|_| error())?;
        let value = value.trim();
        if value.is_empty() {
            return Err(LlmError::NoKey { variable: variable.to_owned() });
        }
        Self::new(value).ok_or_else(error)
    }

    /// `None` unless the text is visible ASCII.
    pub fn new(value: &str) -> Option<Self> {
        let sendable = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        sendable.then(|| Self(value.to_owned()))
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether `bytes` contain the key, plain or escaped as in JSON.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms().iter().any(|form| find(bytes, form).is_some())
    }

    /// Removes the key from foreign bytes: an endpoint may echo its request and break off in the middle of the key.
    pub(crate) fn redact(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for form in self.forms() {
            while let Some(at) = find(&bytes, &form) {
                bytes.splice(at..at + form.len(), REDACTED.iter().copied());
            }
            let begun = (SECRET..form.len()).rev().find(|&length| bytes.ends_with(&form[..length]));
            if let Some(length) = begun {
                bytes.truncate(bytes.len() - length);
                bytes.extend_from_slice(REDACTED);
            }
        }
        bytes
    }

    /// The key plain, and escaped as in JSON, with slashes escaped or not.
    fn forms(&self) -> Vec<Vec<u8>> {
        if self.0.len() < SECRET {
            return Vec::new();
        }
        let quoted = serde_json::to_string(&self.0).expect("BUG: a text has its JSON");
        let quoted = quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned();
        let slashes = quoted.replace('/', "\\/");
        let mut forms = vec![self.0.clone().into_bytes(), quoted.into_bytes(), slashes.into_bytes()];
        forms.dedup();
        forms
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_the_environment_and_does_not_show() {
        // A variable that cargo sets for tests, because setting one would be unsafe.
        let key = Key::from_env("CARGO_PKG_REPOSITORY").map(drop);
        assert_eq!(key, Err(LlmError::NoKey { variable: "CARGO_PKG_REPOSITORY".to_owned() }), "set, but empty");
        let key = Key::from_env("CARGO_PKG_NAME").unwrap();
        assert_eq!((key.bearer().as_str(), format!("{key:?}").as_str()), ("Bearer packevolve", "Key"));
        assert_eq!(
            Key::from_env("CARGO_PKG_DESCRIPTION").map(drop),
            Err(LlmError::BadKey { variable: "CARGO_PKG_DESCRIPTION".to_owned() }),
            "blanks"
        );
    }

    #[test]
    fn a_key_is_taken_out_of_what_an_endpoint_says() {
        let key = Key::new("sk-secret/\"9").unwrap();
        for text in ["a sk-secret/\"9 b", r#"a sk-secret/\"9 b"#, r#"a sk-secret\/\"9 b"#] {
            assert!(key.is_in(text.as_bytes()), "{text}");
            assert_eq!(key.redact(text.as_bytes().to_vec()), b"a [key] b", "{text}");
        }
        assert_eq!(key.redact(b"a sk-secret".to_vec()), b"a [key]");
        assert_eq!(key.redact(b"a sk-secre".to_vec()), b"a [key]");
        assert_eq!(key.redact(b"a sk-secr".to_vec()), b"a sk-secr");
        let short = Key::new("EMPTY").unwrap();
        assert!(!short.is_in(b"EMPTY"));
        assert_eq!(short.redact(b"EMPTY".to_vec()), b"EMPTY");
    }
}
