//! The bytes of a journal line. Pure.
//!
//! ```text
//! {"version":2,"seq":0,"time":1763713574.25,"event":{...},"digest":"<32 hex digits>"}
//! ```
//!
//! The digest covers the digits of the previous line's digest (nothing, for the first line) followed by the bytes of
//! this line before `,"digest":"`, exactly as they stand. So it fits no other bytes, be it white space or the order of
//! keys, and no other place in the journal; `printf %s%s "$PREVIOUS" "$BYTES" | sha256sum | cut -c-32` recomputes it.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::values::digest::{DIGITS, Digest};

/// The only version that this program writes and reads.
pub const VERSION: u64 = 2;

/// The longest line in bytes, far longer than any event.
pub(super) const MAX_LINE: usize = 64 << 20;

/// The beginning of a line, before its number.
const SEQ: &str = "{\"version\":2,\"seq\":";
const BEFORE_DIGEST: &str = ",\"digest\":\"";
const AFTER_DIGEST: &str = "\"}";
/// The length of the end of a line, from the digest's key on.
const ENDING: usize = BEFORE_DIGEST.len() + DIGITS + AFTER_DIGEST.len();

/// An event with its position in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<E> {
    /// Counts events from zero.
    pub seq: u64,
    /// Wall time in seconds since 1970, for people; no decision depends on it.
    pub time: f64,
    pub event: E,
    /// Covers this line and all before it.
    pub digest: Digest,
    /// The offset of its first byte.
    pub offset: u64,
}

impl<E> Entry<E> {
    /// Its line number, from one.
    pub fn line(&self) -> u64 {
        self.seq + 1
    }
}

/// What the next line is chained to.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    pub seq: u64,
    /// Where the next line begins.
    pub offset: u64,
    pub digest: Option<Digest>,
}

impl Chain {
    /// The chain after a line, from the number and digest in the line itself; `None` if they are malformed.
    pub fn after(line: &[u8], offset: u64) -> Option<Self> {
        let own = line.strip_prefix(SEQ.as_bytes())?;
        let seq = own.split(|byte| *byte == b',').next().and_then(|digits| std::str::from_utf8(digits).ok())?;
        let digits = line.strip_suffix(AFTER_DIGEST.as_bytes())?;
        let digest = Digest::parse(&digits[digits.len().checked_sub(DIGITS)?..])?;
        Some(Self { seq: seq.parse::<u64>().ok()?.checked_add(1)?, offset, digest: Some(digest) })
    }

    pub fn line(&self) -> u64 {
        self.seq + 1
    }

    fn digest_of(&self, body: &[u8]) -> Digest {
        Digest::chained(self.digest, body)
    }

    /// Advances by a line of `length` bytes, with its newline.
    fn advance(&mut self, digest: Digest, bytes: usize) {
        self.seq += 1;
        self.offset += bytes as u64;
        self.digest = Some(digest);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<E> {
    version: u64,
    seq: u64,
    time: f64,
    event: E,
    #[serde(rename = "digest")]
    _digest: IgnoredAny,
}

/// The parts of a line of any version.
#[derive(Deserialize)]
struct Head {
    version: u64,
    seq: u64,
}

#[derive(Debug)]
pub(super) enum Flaw {
    NotUtf8,
    NotJson(serde_json::Error),
    OtherVersion { version: u64 },
    OutOfOrder { found: u64 },
    Damaged,
    UnknownEvent(serde_json::Error),
}

/// The next line with its newline; advances the chain.
pub(super) fn encode<E: Serialize>(chain: &mut Chain, time: f64, event: &E) -> serde_json::Result<Vec<u8>> {
    let mut line = format!("{SEQ}{},\"time\":", chain.seq).into_bytes();
    serde_json::to_writer(&mut line, &time)?;
    line.extend_from_slice(b",\"event\":");
    serde_json::to_writer(&mut line, event)?;
    let digest = chain.digest_of(&line);
    line.extend_from_slice(&ending(digest));
    line.push(b'\n');
    chain.advance(digest, line.len());
    Ok(line)
}

/// The event of a line without its newline; checks no digest.
pub(super) fn parse<E: DeserializeOwned>(line: &[u8]) -> serde_json::Result<E> {
    Ok(serde_json::from_slice::<Line<E>>(line)?.event)
}

/// Reads the next line, without its newline; advances the chain if the line is valid.
pub(super) fn decode<E: DeserializeOwned>(chain: &mut Chain, line: &[u8]) -> Result<Entry<E>, Flaw> {
    let Some(digest) = verified(chain, line) else { return Err(diagnose(chain, line)) };
    let Line { version, seq, time, event, .. } = serde_json::from_slice(line).map_err(|error| misfit(line, error))?;
    if version != VERSION {
        return Err(Flaw::OtherVersion { version });
    }
    if seq != chain.seq {
        return Err(Flaw::OutOfOrder { found: seq });
    }
    let offset = chain.offset;
    chain.advance(digest, line.len() + 1);
    Ok(Entry { seq, time, event, digest, offset })
}

/// The digest at the end of the line, if it is well formed.
fn verified(chain: &Chain, line: &[u8]) -> Option<Digest> {
    let (body, end) = line.split_at(line.len().checked_sub(ENDING)?);
    let digest = chain.digest_of(body);
    (*end == ending(digest)).then_some(digest)
}

/// The end of a line with this digest.
fn ending(digest: Digest) -> [u8; ENDING] {
    let mut bytes = [0; ENDING];
    let (before, rest) = bytes.split_at_mut(BEFORE_DIGEST.len());
    let (digits, after) = rest.split_at_mut(DIGITS);
    before.copy_from_slice(BEFORE_DIGEST.as_bytes());
    digits.copy_from_slice(&digest.digits());
    after.copy_from_slice(AFTER_DIGEST.as_bytes());
    bytes
}

/// The best explanation for an invalid line.
fn diagnose(chain: &Chain, line: &[u8]) -> Flaw {
    if std::str::from_utf8(line).is_err() {
        return Flaw::NotUtf8;
    }
    match serde_json::from_slice::<Head>(line) {
        Ok(head) if head.version != VERSION => Flaw::OtherVersion { version: head.version },
        Ok(head) if head.seq != chain.seq => Flaw::OutOfOrder { found: head.seq },
        Err(error) if !error.is_data() => Flaw::NotJson(error),
        Ok(_) | Err(_) => Flaw::Damaged,
    }
}

/// The reason why this version would not write this intact line.
fn misfit(line: &[u8], error: serde_json::Error) -> Flaw {
    match serde_json::from_slice::<Head>(line) {
        Ok(head) if head.version != VERSION => Flaw::OtherVersion { version: head.version },
        _ if error.is_data() => Flaw::UnknownEvent(error),
        _ => Flaw::NotJson(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_these_bytes() {
        let mut chain = Chain::default();
        let first = encode(&mut chain, 0.5, &"a").unwrap();
        let second = encode(&mut chain, -1.0, &"b").unwrap();
        // coreutils' sha256sum computed the digests, as in the module docs.
        assert_eq!(
            String::from_utf8([first, second].concat()).unwrap(),
            concat!(
                r#"{"version":2,"seq":0,"time":0.5,"event":"a","digest":"56cd5933beb64d803d38e248e3a53cf5"}"#,
                "\n",
                r#"{"version":2,"seq":1,"time":-1.0,"event":"b","digest":"4cadfd0b9f46389476b9b89ed9399148"}"#,
                "\n"
            )
        );
    }
}
