//! The errors that end a live run.

use std::io;
use std::path::PathBuf;

use packevolve_contract::loads::Loads;
use thiserror::Error;

use crate::archive::{ArchiveError, ProgramsError};
use crate::journal::JournalError;
use crate::journal::exchanges::ExchangeError;
use crate::judge::client::JudgeError;
use crate::proposer::draw::ProposeError;
use crate::proposer::llm::prompt::PromptError;
use crate::proposer::llm::prompt_data::PromptDataError;
use crate::run::folder::RunError;
use crate::values::error_kind::{Classify, ErrorKind};

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
    #[error("the baseline program was not measured: {0}")]
    Baseline(String),
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
            Self::Exists(_) | Self::OtherLoads(_) => ErrorKind::Input,
            Self::Folder { .. } | Self::Signals(_) => ErrorKind::Failure,
            Self::Baseline(_) => ErrorKind::Rejected,
            Self::Aborted => ErrorKind::Interrupted,
            Self::Run(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Programs(error) => error.kind(),
            Self::Exchange(error) => error.kind(),
            Self::PromptData(error) => error.kind(),
            Self::Propose(error) => error.kind(),
            Self::Prompt(error) => error.kind(),
            Self::Judge(error) => error.kind(),
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
            Self::Folder { .. } | Self::Signals(_) | Self::Baseline(_) | Self::Aborted => None,
            Self::Run(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Programs(error) => error.hint(),
            Self::Exchange(error) => error.hint(),
            Self::PromptData(error) => error.hint(),
            Self::Propose(error) => error.hint(),
            Self::Prompt(error) => error.hint(),
            Self::Judge(error) => error.hint(),
        }
    }
}
