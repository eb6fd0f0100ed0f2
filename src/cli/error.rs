//! Error: how an error is told, and the exit code that it has.

use crate::archive::RepositoryError;
use crate::cli::exit::Exit;
use crate::cli::input::BadInput;
use crate::config::ConfigError;
use crate::journal::JournalError;
use crate::judge::client::JudgeError;
use crate::proposer::catalogue::{CatalogueError, FolderError};
use crate::proposer::corpus::CorpusError;
use crate::run::driver::DriverError;
use crate::run::folder::RunError;
use crate::run::fsck::FsckError;

/// An error with its causes, and the hints of all of them last.
pub(crate) fn told(error: &anyhow::Error) -> String {
    let mut lines = Vec::new();
    let mut hints = Vec::new();
    for (depth, cause) in error.chain().enumerate() {
        let text = cause.to_string();
        let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
        let line = if depth == 0 { format!("error: {message}") } else { format!("  because: {message}") };
        // `#[error(transparent)]` tells the same twice.
        if lines.last().is_none_or(|last: &String| !last.ends_with(message)) {
            lines.push(line);
        }
        if !hint.is_empty() && !hints.contains(&hint.to_owned()) {
            hints.push(hint.to_owned());
        }
    }
    lines.extend(hints.into_iter().map(|hint| format!("hint: {hint}")));
    lines.join("\n")
}

/// Whose fault it was: what was named, or what is ours.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    error.chain().find_map(exit_of_cause).unwrap_or(Exit::Failure)
}

fn exit_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    let is_input = cause.is::<ConfigError>() || cause.is::<CorpusError>() || cause.is::<BadInput>();
    if is_input || cause.is::<CatalogueError>() || cause.is::<FolderError>() {
        return Some(Exit::Input);
    }
    if matches!(cause.downcast_ref(), Some(RepositoryError::NotAnArchive { .. })) {
        return Some(Exit::Input);
    }
    if let Some(FsckError::Journal(error)) = cause.downcast_ref() {
        return Some(exit_of_journal(error));
    }
    if let Some(error) = cause.downcast_ref::<RunError>() {
        return Some(exit_of_run(error));
    }
    match cause.downcast_ref::<DriverError>() {
        Some(DriverError::Aborted) => return Some(Exit::Interrupted),
        Some(DriverError::Baseline(_)) => return Some(Exit::Rejected),
        Some(DriverError::Exists(_) | DriverError::OtherLoads { .. }) => return Some(Exit::Input),
        // `#[error(transparent)]` hides what it holds from the chain.
        Some(DriverError::Run(error)) => return Some(exit_of_run(error)),
        Some(DriverError::Journal(error)) => return Some(exit_of_journal(error)),
        Some(DriverError::Judge(JudgeError::Refused(_))) => return Some(Exit::Input),
        Some(DriverError::Repository(RepositoryError::NotAnArchive { .. })) => return Some(Exit::Input),
        _ => {}
    }
    matches!(cause.downcast_ref(), Some(JudgeError::Refused(_))).then_some(Exit::Input)
}

fn exit_of_run(error: &RunError) -> Exit {
    match error {
        RunError::Journal(error) => exit_of_journal(error),
        _ => Exit::Input,
    }
}

/// Writing a journal is ours; a journal that was named and cannot be read is not.
fn exit_of_journal(error: &JournalError) -> Exit {
    match error {
        JournalError::Io { .. } | JournalError::Unwritable { .. } | JournalError::Broken { .. } => Exit::Failure,
        _ => Exit::Input,
    }
}
