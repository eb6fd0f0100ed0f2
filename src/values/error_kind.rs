//! What an error means to the person who sees it. Every error that can end a command implements [`Classify`], so the
//! compiler finds one without a kind.

use std::error::Error;

/// Decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A file, setting or name that the user gave cannot be used.
    Input,
    /// The program or the machine failed.
    Failure,
    /// A program was rejected.
    Rejected,
    /// Replay differs from the record.
    Diverged,
    /// The user stopped the command.
    Interrupted,
}

/// An error and its causes in one line.
pub fn in_one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    line
}

pub trait Classify: Error {
    fn kind(&self) -> ErrorKind;

    /// What the user can do about it.
    fn hint(&self) -> Option<String> {
        None
    }
}
