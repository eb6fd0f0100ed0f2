//! Output: results go to stdout, everything else to stderr. A reader that closes its pipe (`| head`) is not an error and
//! never stops a run or a check early.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::values::error_kind::{Classify, ErrorKind};

/// How much goes to stderr beside errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    Quiet,
    #[default]
    Normal,
    /// The log, too; a progress bar would run into it.
    Verbose,
}

static VERBOSITY: OnceLock<Verbosity> = OnceLock::new();

/// For this process; the first call counts.
pub fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.get_or_init(|| verbosity);
}

pub fn verbosity() -> Verbosity {
    VERBOSITY.get().copied().unwrap_or_default()
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout")]
pub struct PrintError(#[source] io::Error);

impl Classify for PrintError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Failure
    }
}

/// Prints a result without adding a line end. Not an error: a reader that has closed the pipe.
pub fn print(text: impl Display) -> Result<(), PrintError> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(PrintError(error)),
        _ => Ok(()),
    }
}

/// Whether stdout still has a reader: false once the other end of a pipe is closed.
pub fn is_read() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    match poll(&mut descriptors, PollTimeout::ZERO) {
        Ok(_) => !descriptors[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR)),
        Err(_) => true,
    }
}

/// Makes a candidate's or a proposal's text safe for a terminal: escapes control characters other than line ends and
/// tabs, and characters that change the direction of text.
pub fn harmless(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' | '\t' => character.to_string(),
        _ if character.is_control() || changes_direction(character) => character.escape_default().to_string(),
        _ => character.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Whether a character makes a terminal show text in another order than the file has it (CVE-2021-42574).
fn changes_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Prints a line to stderr unless `--quiet` is given. Ignores a stderr that cannot be written to.
pub fn status(text: impl Display) {
    if verbosity() != Verbosity::Quiet {
        error(text);
    }
}

pub fn error(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_lines_stay() {
        assert_eq!(harmless("a\tb\nc\u{1b}[31md\r\u{9b}e é"), "a\tb\nc\\u{1b}[31md\\r\\u{9b}e é");
        assert_eq!(harmless("if \u{202e}x"), "if \\u{202e}x");
    }
}
