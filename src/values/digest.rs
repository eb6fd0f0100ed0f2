//! Digests: SHA-256 cut to 128 bits, so that lines stay readable. A digest detects changes, but not by an author who
//! can rewrite the whole record. Only this file uses the hash.

use std::fmt;
use std::io::{self, BufRead, Read};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub const DIGITS: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; DIGITS / 2]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self::chained(None, bytes)
    }

    /// The digest of the previous digest's digits, if there is one, and these bytes.
    pub fn chained(before: Option<Self>, bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        if let Some(before) = before {
            hash.update(before.digits());
        }
        hash.update(bytes);
        Self::cut(&hash.finalize())
    }

    /// The digest of the rest of a line, and its length without the newline; keeps none of it.
    ///
    /// # Errors
    /// The operating system fails.
    pub fn of_line(file: &mut impl BufRead) -> io::Result<(Self, u64)> {
        let (mut hash, mut length) = (Sha256::new(), 0);
        loop {
            let chunk = file.fill_buf()?;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            hash.update(part);
            length += part.len() as u64;
            let (read, is_last) = (part.len(), end.is_some() || chunk.is_empty());
            file.consume(read);
            if is_last {
                return Ok((Self::cut(&hash.finalize()), length));
            }
        }
    }

    fn cut(hash: &[u8]) -> Self {
        let mut digest = [0; DIGITS / 2];
        digest.copy_from_slice(&hash[..DIGITS / 2]);
        Self(digest)
    }

    /// The digest of all that can be read, and how many bytes that is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of_all(mut from: impl Read) -> io::Result<(Self, u64)> {
        let (mut hash, mut bytes, mut part) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            let read = from.read(&mut part)?;
            if read == 0 {
                return Ok((Self::cut(&hash.finalize()), bytes));
            }
            hash.update(&part[..read]);
            bytes += read as u64;
        }
    }

    pub fn digits(self) -> [u8; DIGITS] {
        let mut digits = [0; DIGITS];
        hex::encode_to_slice(self.0, &mut digits).expect("BUG: there are two digits a byte");
        digits
    }

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

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(text.as_bytes()).ok_or_else(|| format!("{text:?} is not a digest of {DIGITS} hexadecimal digits"))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}
