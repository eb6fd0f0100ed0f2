//! Command line: arguments, dispatch, and how errors are told. stdout is data, stderr is talk.

mod apply;
mod doctor;
mod evaluate;
mod evolve;
mod inspect;
mod replay;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::{Config, ConfigError, DEFAULT_FILE};
use crate::driver::DriverError;
use crate::exit::Exit;
use crate::glance::Glance;
use crate::journal::{JournalError, TornLine};
use crate::judge::JudgeError;
use crate::output::{data, talk};
use crate::proposer::catalogue::{CatalogueError, FolderError};
use crate::proposer::corpus::CorpusError;
use crate::repository::RepositoryError;
use crate::run::{Run, RunError, RunFolder};

/// Evolves the packing heuristic of mixture-of-experts inference.
#[derive(Debug, Parser)]
#[command(version, after_help = Exit::help(), max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Search for better programs: a run.
    Evolve(evolve::Evolve),
    /// Go on with a run.
    Resume(evolve::Resume),
    /// Make a candidate, or a whole run, again from its record, and compare.
    Replay(replay::Replay),
    /// Measure one program.
    Evaluate(evaluate::Evaluate),
    /// Apply the edit of one proposal to a program.
    Apply(apply::Apply),
    /// The best candidates of a run.
    Top(inspect::Top),
    /// One candidate: its proposal, its edit, its measurements or why it was rejected.
    Show(inspect::Show),
    /// What happened in a run.
    Log(inspect::Log),
    /// What this machine offers: judge, Python, torch, GPU, jail.
    Doctor(doctor::Doctor),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// A run, in the commands that read one.
#[derive(Debug, Args)]
struct RunArguments {
    /// Folder of the run, or its name in the folder of runs; the newest run if not given.
    run: Option<String>,
    /// Settings, for where the runs are.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl RunArguments {
    fn open(&self) -> anyhow::Result<Run> {
        let folder = find_run(self.config.as_deref(), self.run.as_deref())?;
        let run = Run::open(folder)?;
        note(run.torn.as_ref());
        Ok(run)
    }

    /// For commands that need little of it.
    fn glance(&self) -> anyhow::Result<Glance> {
        let folder = find_run(self.config.as_deref(), self.run.as_deref())?;
        let glance = Glance::open(&folder)?;
        note(glance.torn.as_ref());
        Ok(glance)
    }
}

fn note(torn: Option<&TornLine>) {
    if let Some(torn) = torn {
        talk(format_args!("note: {torn}"));
    }
}

/// The run that a person named, or the newest.
fn find_run(config: Option<&Path>, name: Option<&str>) -> anyhow::Result<RunFolder> {
    let runs = || Config::read(config).map(|config| config.runs);
    Ok(match name {
        Some(path) if Path::new(path).join("journal.jsonl").is_file() => RunFolder::new(path.into()),
        Some(name) => RunFolder::find(&runs()?, name)?,
        None => RunFolder::newest(&runs()?)?,
    })
}

/// Runs the program with the arguments of this process.
pub fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for; everything else is a mistake.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Success };
        }
    };
    crate::log::install();
    match run(arguments.command) {
        Ok(exit) => exit,
        Err(error) => {
            talk(told(&error));
            exit_of(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Evolve(command) => block_on(command.run()),
        Command::Resume(command) => block_on(command.run()),
        Command::Replay(command) => block_on(command.run()),
        Command::Evaluate(command) => block_on(command.run()),
        Command::Apply(command) => command.run(),
        Command::Top(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Doctor(command) => block_on(command.run()),
    }
}

fn block_on(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")?.block_on(command)
}

/// An error with its causes, and the hints of all of them last.
fn told(error: &anyhow::Error) -> String {
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
fn exit_of(error: &anyhow::Error) -> Exit {
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

/// A file that was named cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadInput(String);

/// Reads a text that was named on the command line or in the settings.
fn read_text(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).map_err(|error| BadInput(format!("cannot read {}: {error}", path.display())))?;
    Ok(String::from_utf8(bytes).map_err(|_| BadInput(format!("{} is not UTF-8 text", path.display())))?)
}

/// Loads that are not there are told at once; what they hold, the judge reads.
fn check_loads(config: &Config) -> Result<(), BadInput> {
    match &config.loads {
        Some(path) if path.try_exists().is_ok_and(|there| !there) => {
            Err(BadInput(format!("there is no {}, where the loads should be", path.display())))
        }
        _ => Ok(()),
    }
}

/// The settings file as errors name it.
fn config_path(config: Option<&Path>) -> &Path {
    config.unwrap_or(Path::new(DEFAULT_FILE))
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    Ok(data(serde_json::to_string_pretty(value)? + "\n")?)
}

/// The whole help, for the test that keeps the README equal to it.
pub fn help() -> String {
    Arguments::command().term_width(100).render_long_help().to_string()
}
