//! The errors that end a live run.

use std::io;
use std::path::PathBuf;

use packevolve_contract::loads::Loads;
use packevolve_contract::rejection::{Evidence, Rejection};
use thiserror::Error;

use crate::archive::{ArchiveError, ProgramsError};
use crate::journal::JournalError;
use crate::journal::exchanges::ExchangeError;
use crate::judge::client::JudgeError;
use crate::judge::unlike::Unlike;
use crate::proposer::draw::ProposeError;
use crate::proposer::llm::prompt::PromptError;
use crate::proposer::llm::prompt_data::PromptDataError;
use crate::run::folder::RunError;
use crate::values::error_kind::{Classify, ErrorKind};

/// A program that a run cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    Baseline,
    Seed,
}

/// The run cannot begin or continue. A run that has begun can be resumed.
#[derive(Debug, Error)]
pub enum DriverError {
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("cannot make {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    PromptData(#[from] PromptDataError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
    #[error("no judge at {place}")]
    AtPlace { place: String, source: JudgeError },
    #[error("{place}: this judge cannot be used: {unlike}")]
    Unlike { place: String, unlike: Unlike },
    #[error("stopped before the judges were ready")]
    NotStarted,
    /// Nothing can be compared with a baseline without a measurement, and nothing be made of a seed program without one.
    #[error("the {role} program was rejected: it {rejection}")]
    Rejected { role: Role, rejection: Rejection, evidence: Evidence },
    #[error("the loads have changed since the run began")]
    OtherLoads(Loads),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("stopped at once, without its running evaluations")]
    Aborted,
}

impl Classify for DriverError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists(_) | Self::OtherLoads(_) | Self::Unlike { .. } => ErrorKind::Input,
            Self::Folder { .. } | Self::Signals(_) => ErrorKind::Failure,
            Self::Rejected { .. } => ErrorKind::Rejected,
            Self::Aborted | Self::NotStarted => ErrorKind::Interrupted,
            Self::Run(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Programs(error) => error.kind(),
            Self::Exchange(error) => error.kind(),
            Self::PromptData(error) => error.kind(),
            Self::Propose(error) => error.kind(),
            Self::Prompt(error) => error.kind(),
            Self::Judge(error) | Self::AtPlace { source: error, .. } => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some("choose another --run NAME, or `packevolve resume`".to_owned()),
            Self::OtherLoads(Loads::Path(path)) => {
                let path = path.display();
                Some(format!("restore {path} to resume, or start a new run: `packevolve evolve --loads {path}`"))
            }
            Self::OtherLoads(Loads::MadeUp) => {
                Some("this version of packevolve or of its Python makes up other loads: start a new run".to_owned())
            }
            Self::Unlike { unlike: Unlike::Other { .. }, .. } => {
                Some("`mixed: true` for that place compares its programs with a baseline of their own".to_owned())
            }
            Self::Unlike { unlike: Unlike::Jail { .. }, .. } => {
                Some("`sandbox: best-effort` runs programs without that step".to_owned())
            }
            Self::Unlike { unlike: Unlike::Loads, .. }
            | Self::Folder { .. }
            | Self::Signals(_)
            | Self::Aborted
            | Self::NotStarted => None,
            Self::Rejected { .. } => Some("correct the program, and start a new run".to_owned()),
            Self::Run(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Programs(error) => error.hint(),
            Self::Exchange(error) => error.hint(),
            Self::PromptData(error) => error.hint(),
            Self::Propose(error) => error.hint(),
            Self::Prompt(error) => error.hint(),
            Self::Judge(error) | Self::AtPlace { source: error, .. } => error.hint(),
        }
    }
}
