//! Received bytes, nearly always UTF-8. In JSON they are a string, or `{"hex": "..."}` for other bytes, so that every
//! byte comes back.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a file is not a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotText {
    #[error("not UTF-8 text, but UTF-16: save it as UTF-8")]
    Utf16,
    #[error("not UTF-8 text: byte {offset}, in line {line}, begins no character")]
    Other {
        /// Of the first such byte, from 1.
        offset: usize,
        /// From 1.
        line: usize,
    },
}

/// The text of a file in UTF-8, with its byte order mark if it has one.
///
/// # Errors
/// The bytes are not UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<&str, NotText> {
    std::str::from_utf8(bytes).map_err(|error| {
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return NotText::Utf16;
        }
        let at = error.valid_up_to();
        NotText::Other { offset: at + 1, line: 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count() }
    })
}

/// Bytes as received.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Form", into = "Form")]
pub struct RawText(pub Vec<u8>);

/// The JSON form of [`RawText`].
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Form {
    Text(String),
    Hex { hex: String },
}

impl RawText {
    /// As text; bytes that are not UTF-8 become replacement characters.
    pub fn lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl From<Vec<u8>> for RawText {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for RawText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.lossy(), f)
    }
}

impl From<RawText> for Form {
    fn from(RawText(bytes): RawText) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Hex { hex: hex::encode(error.as_bytes()) }, Self::Text)
    }
}

impl TryFrom<Form> for RawText {
    type Error = hex::FromHexError;

    fn try_from(form: Form) -> Result<Self, hex::FromHexError> {
        match form {
            Form::Text(text) => Ok(Self(text.into_bytes())),
            Form::Hex { hex } => hex::decode(hex).map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_text_is_named_by_its_encoding_or_its_place() {
        assert_eq!(text_of("\u{feff}größer".as_bytes()), Ok("\u{feff}größer"));
        assert_eq!(text_of(b"\xff\xfea\0"), Err(NotText::Utf16));
        assert_eq!(text_of(b"a\ncaf\xe9\n"), Err(NotText::Other { offset: 6, line: 2 }));
    }

    #[test]
    fn every_byte_comes_back_from_json() {
        for bytes in [&b""[..], b"a \"line\"\r\n", "größer \u{2028}".as_bytes(), b"\xff\xfe\x00", &[0x80]] {
            let raw = RawText(bytes.to_vec());
            let json = serde_json::to_string(&raw).unwrap();
            assert_eq!(serde_json::from_str::<RawText>(&json).unwrap(), raw, "{json}");
        }
        assert_eq!(serde_json::to_string(&RawText(b"x\n".to_vec())).unwrap(), r#""x\n""#);
        assert_eq!(serde_json::to_string(&RawText(vec![255])).unwrap(), r#"{"hex":"ff"}"#);
    }
}
