//! Command line: arguments, dispatch, and how errors are told. stdout is data, stderr is talk.

pub mod exit;
mod logging;
mod format;
pub mod help;
mod input;
mod error;
mod named;
mod write;
mod apply;
mod diff;
mod doctor;
mod evaluate;
mod evolve;
mod export;
mod fsck;
mod lineage;
mod log;
mod replay;
mod report;
mod show;
mod top;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::error::{exit_of, told};
use crate::cli::exit::Exit;
use crate::view::output::status;

/// Evolves the packing heuristic of mixture-of-experts inference.
#[derive(Debug, Parser)]
#[command(version, after_help = after_help(), disable_help_subcommand = true, max_term_width = 120)]
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
    /// Check the record of a run: journal, archive, and whether they agree.
    Fsck(fsck::Fsck),
    /// Measure one program.
    Evaluate(evaluate::Evaluate),
    /// Apply the edit of one proposal to a program.
    Apply(apply::Apply),
    /// The best candidates of a run.
    Top(top::Top),
    /// One candidate: its proposal, its edit, its measurements or why it was rejected.
    Show(show::Show),
    /// How a candidate came about, edit by edit, and what each of them brought.
    Lineage(lineage::Lineage),
    /// Two candidates side by side: their scores, and the diff of their programs.
    Diff(diff::Diff),
    /// What happened in a run; `-f` follows one that goes on.
    Log(log::Log),
    /// A run as one page of HTML that needs nothing beside itself.
    Report(report::Report),
    /// The best program of a run as a file of its own that says where it comes from.
    Export(export::Export),
    /// What this machine offers: judge, Python, torch, GPU, jail.
    Doctor(doctor::Doctor),
    /// Explain a command or a topic.
    Help(help::Help),
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
    logging::install();
    match run(arguments.command) {
        Ok(exit) => exit,
        Err(error) => {
            status(told(&error));
            exit_of(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Evolve(command) => block_on(command.run()),
        Command::Resume(command) => block_on(command.run()),
        Command::Replay(command) => block_on(command.run()),
        Command::Fsck(command) => command.run(),
        Command::Evaluate(command) => block_on(command.run()),
        Command::Apply(command) => command.run(),
        Command::Top(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Lineage(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Doctor(command) => block_on(command.run()),
        Command::Help(command) => command.run(Arguments::command()),
    }
}

fn block_on(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")?.block_on(command)
}

fn after_help() -> String {
    format!("{}\n\n{}", help::list(), Exit::help())
}

/// The command line, for tests that hold documents against it.
pub fn command() -> clap::Command {
    Arguments::command()
}
