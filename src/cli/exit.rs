//! Exit codes: what the program's status tells a script.

use std::process::ExitCode;

/// How the program ended. The table in the README and the end of `--help` are this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// Our own machinery broke: a judge that does not start, a disk that is full.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Something that was named cannot be used: a missing file, a typo in config.yaml, an unknown candidate.
    Input = 3,
    /// The program was rejected, or the edit does not apply.
    Rejected = 4,
    /// Replay gave something else than the record.
    Diverged = 5,
    /// Replay gave the same programs and placements, at another speed.
    OtherSpeed = 6,
    /// The record of a run is damaged, or not in order.
    Damaged = 7,
    /// Stopped by Ctrl-C; the run can be resumed.
    Interrupted = 130,
}

impl Exit {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::Input,
        Self::Rejected,
        Self::Diverged,
        Self::OtherSpeed,
        Self::Damaged,
        Self::Interrupted,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "done",
            Self::Failure => "something of ours broke: a judge that does not start, a full disk",
            Self::Usage => "the command line is wrong",
            Self::Input => {
                "something that was named cannot be used: a missing file, a typo in config.yaml, an unknown candidate"
            }
            Self::Rejected => "the program was rejected, or the edit does not apply",
            Self::Diverged => "replay gave something else than the record",
            Self::OtherSpeed => "replay gave the same programs and placements, but faster or slower",
            Self::Damaged => "fsck found something wrong with the record, and it is not repaired",
            Self::Interrupted => "stopped by Ctrl-C; the run can be resumed",
        }
    }

    /// The list as it stands at the end of `--help`.
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
