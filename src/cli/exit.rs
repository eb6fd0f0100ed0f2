//! Exit codes.

use std::process::ExitCode;

use strum::{Display, EnumIter, IntoEnumIterator};

use crate::values::error_kind::ErrorKind;

/// The exit code of the program. `--help` ends with this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, Display)]
#[repr(u8)]
pub enum Exit {
    #[strum(to_string = "success")]
    Success = 0,
    #[strum(to_string = "internal failure: the judge did not start, the disk is full, ...")]
    Failure = 1,
    #[strum(to_string = "invalid command line")]
    Usage = 2,
    #[strum(to_string = "invalid input: missing file, error in config.yaml, unknown candidate, ...")]
    Input = 3,
    #[strum(to_string = "the program was rejected, or the edit does not apply")]
    Rejected = 4,
    #[strum(to_string = "replay: the result differs from the record")]
    Diverged = 5,
    #[strum(to_string = "replay: programs and placements are reproduced, their times are not")]
    TimingDiffers = 6,
    #[strum(to_string = "fsck: the record is damaged and not repaired")]
    Damaged = 7,
    #[strum(to_string = "evolve, resume: every language model is switched off, and there is no other proposer")]
    NoProposer = 8,
    /// As a shell reports a process that SIGINT ended.
    #[strum(to_string = "stopped by Ctrl-C; `packevolve resume` continues the run")]
    Interrupted = 130,
}

/// The list at the end of `--help`.
pub fn help() -> String {
    let lines = Exit::iter().map(|exit| format!("  {:>3}  {exit}", exit as u8));
    format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Input => Self::Input,
            ErrorKind::Failure => Self::Failure,
            ErrorKind::Rejected => Self::Rejected,
            ErrorKind::Diverged => Self::Diverged,
            ErrorKind::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
