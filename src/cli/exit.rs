//! Exit codes.

use std::process::ExitCode;

/// The exit code of the program. `--help` ends with this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Success = 0,
    Failure = 1,
    Usage = 2,
    Input = 3,
    Rejected = 4,
    Diverged = 5,
    TimingDiffers = 6,
    Damaged = 7,
    /// As a shell reports a process that SIGINT ended.
    Interrupted = 130,
}

impl Exit {
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::Input,
        Self::Rejected,
        Self::Diverged,
        Self::TimingDiffers,
        Self::Damaged,
        Self::Interrupted,
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "internal failure: the judge did not start, the disk is full, ...",
            Self::Usage => "invalid command line",
            Self::Input => "invalid input: missing file, error in config.yaml, unknown candidate, ...",
            Self::Rejected => "the program was rejected, or the edit does not apply",
            Self::Diverged => "replay: the result differs from the record",
            Self::TimingDiffers => "replay: programs and placements are reproduced, their times are not",
            Self::Damaged => "fsck: the record is damaged and not repaired",
            Self::Interrupted => "stopped by Ctrl-C; `packevolve resume` continues the run",
        }
    }

    /// The list at the end of `--help`.
    pub fn help() -> String {
        let lines = Self::ALL.map(|exit| format!("  {:>3}  {}", exit.code(), exit.meaning()));
        format!("Exit codes:\n{}", lines.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
