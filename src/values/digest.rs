//! Digest: SHA-256 cut to 128 bits. It notices change; it does not withstand somebody who may write the whole record anew,
//! and half the digits keep lines readable. The only door to the hash.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of a digest.
pub const DIGITS: usize = 32;

/// The digest of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; DIGITS / 2]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::chained(None, bytes)
    }

    /// Of the digits of a digest before, if there is one, and these bytes.
    pub fn chained(before: Option<Self>, bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        if let Some(before) = before {
            hash.update(before.digits());
        }
        hash.update(bytes);
        let mut digest = [0; DIGITS / 2];
        digest.copy_from_slice(&hash.finalize()[..DIGITS / 2]);
        Self(digest)
    }

    /// In ASCII.
    pub fn digits(self) -> [u8; DIGITS] {
        let mut digits = [0; DIGITS];
        hex::encode_to_slice(self.0, &mut digits).expect("BUG: there are two digits a byte");
        digits
    }

    /// From its digits in ASCII.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let mut digest = [0; DIGITS / 2];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        Some(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text.as_bytes()).ok_or_else(|| format!("{text:?} is not a digest of {DIGITS} hexadecimal digits"))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}
