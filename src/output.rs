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

/// Tells a person something, on a line of its own. What cannot be told is lost.
pub fn talk(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
