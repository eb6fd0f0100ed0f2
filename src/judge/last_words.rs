//! Last words: what a judge, and what started it, wrote beside the protocol.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;

/// The last lines in the error about a judge's end.
const KEPT: usize = 40;

/// The beginning of a line that an error quotes.
pub(super) fn cut(line: &str) -> &str {
    line.char_indices().nth(200).map_or(line.trim_end(), |(end, _)| &line[..end])
}

/// The last lines that a judge, and what started it, wrote beside the protocol.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    pub fn add(&self, line: &str) {
        tracing::info!(target: "judge", "{line}");
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words.push_back(cut(line).to_owned());
        let excess = words.len().saturating_sub(KEPT);
        words.drain(..excess);
    }

    pub fn text(&self) -> String {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
    }
}

/// Copies a judge's stderr to the log and keeps its last lines.
pub(super) async fn listen(errors: ChildStderr, last_words: LastWords) {
    let mut lines = BufReader::new(errors).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        last_words.add(&line);
    }
}
