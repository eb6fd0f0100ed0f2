//! Output: what the program prints. stdout is data, stderr is talk. A reader that has gone (`| head`) is no error, and
//! never ends a run or a check before its time.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Prints data as it is, without a line end of its own.
///
/// # Errors
/// When stdout cannot take it, as on a full disk; not when nobody reads it any more.
pub fn print(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Whether somebody may still read what is printed: false once the other end of a pipe is closed.
pub fn is_read() -> bool {
    let stdout = io::stdout();
    let mut descriptors = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    match poll(&mut descriptors, PollTimeout::ZERO) {
        Ok(_) => !descriptors[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR)),
        Err(_) => true,
    }
}

/// A text that a candidate or a proposal wrote, without what would steer a terminal: control characters, and those that
/// turn the direction of writing, are shown as their escapes, but for line ends and tabs.
pub fn harmless(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' | '\t' => character.to_string(),
        _ if character.is_control() || turns(character) => character.escape_default().to_string(),
        _ => character.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Whether a character shows text in another order than it stands in (CVE-2021-42574).
fn turns(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Tells a person something, on a line of its own. What cannot be told is lost.
pub fn status(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_and_lines_stay() {
        assert_eq!(harmless("a\tb\nc\u{1b}[31md\r\u{9b}e é"), "a\tb\nc\\u{1b}[31md\\r\\u{9b}e é");
        assert_eq!(harmless("if \u{202e}x"), "if \\u{202e}x");
    }
}
