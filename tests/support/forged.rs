//! Forged: journals of the caller's events, with digests that are right: what only a program could have written.

use std::fs;
use std::path::Path;

use packevolve::journal::{self, VERSION};
use packevolve::values::digest::Digest;
use serde::Serialize;
use serde_json::Value;

/// Writes a journal of these events, each stamped with its time in seconds since 1970.
pub fn write_at<E: Serialize>(path: &Path, events: &[(f64, E)]) {
    let (mut text, mut digest) = (String::new(), None);
    for (seq, (time, event)) in events.iter().enumerate() {
        let event = serde_json::to_string(event).unwrap();
        let body = format!("{{\"version\":{VERSION},\"seq\":{seq},\"time\":{time:?},\"event\":{event}");
        let own = Digest::chained(digest, body.as_bytes());
        text += &format!("{body},\"digest\":\"{own}\"}}\n");
        digest = Some(own);
    }
    fs::write(path, text).unwrap();
}

/// Writes a journal of these events.
pub fn write<E: Serialize + Clone>(path: &Path, events: &[E]) {
    let timed: Vec<(f64, E)> = events.iter().map(|event| (1.7e9, event.clone())).collect();
    write_at(path, &timed);
}

/// The events of a journal, as JSON.
pub fn events(path: &Path) -> Vec<Value> {
    journal::read::<Value>(path).unwrap().entries.into_iter().map(|entry| entry.event).collect()
}
