//! Output: what the program prints. stdout is data, stderr is talk. A reader that has gone (`| head`) is no error, and
//! never ends a run or a check before its time.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Prints data as it is, without a line end of its own.
///
/// # Errors
/// When stdout cannot take it, as on a full disk; not when nobody reads it any more.
pub fn data(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// A text that a candidate or a proposal wrote, without what would steer a terminal: control characters are shown as
/// their escapes, but for line ends and tabs.
pub fn harmless(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' | '\t' => character.to_string(),
        _ if character.is_control() => character.escape_default().to_string(),
        _ => character.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Tells a person something, on a line of its own. What cannot be told is lost.
pub fn talk(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_and_lines_stay() {
        assert_eq!(harmless("a\tb\nc\u{1b}[31md\r\u{9b}e é"), "a\tb\nc\\u{1b}[31md\\r\\u{9b}e é");
    }
}
