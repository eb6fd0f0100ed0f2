//! Command line: arguments, dispatch, errors and exit codes. Results go to stdout, everything else to stderr.

pub mod exit;
mod error;
mod logging;
mod global;
mod format;
pub mod help;
mod input;
mod args;
mod program;
mod deployed;
mod write;
mod apply;
mod compare;
mod completions;
mod diff;
mod doctor;
mod evaluate;
mod evolve;
mod export;
mod fsck;
mod init;
mod lineage;
mod loads;
mod log;
mod man;
mod plan;
mod presets;
mod propose;
mod replay;
mod report;
mod serve;
mod show;
mod top;
mod worth;
mod schema;

use std::fs::File;
use std::io;

use clap::{CommandFactory, Parser, Subcommand};
use nix::sys::signal::{SigSet, Signal};

use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::view::output;

/// Those of the runtime and its signals.
const SPARE_DESCRIPTORS: usize = 16;

/// Evolves the packing heuristic of mixture-of-experts inference.
#[derive(Debug, Parser)]
#[command(version, after_help = after_help(), disable_help_subcommand = true, max_term_width = 120)]
struct Arguments {
    #[command(flatten)]
    global: global::GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Evolve(evolve::Evolve),
    Resume(evolve::Resume),
    Propose(propose::Propose),
    Stop(propose::Stop),
    Replay(replay::Replay),
    Fsck(fsck::Fsck),
    Evaluate(evaluate::Evaluate),
    Compare(compare::Compare),
    Apply(apply::Apply),
    Top(top::Top),
    Show(show::Show),
    Lineage(lineage::Lineage),
    Diff(diff::Diff),
    Log(log::Log),
    Loads(loads::Loads),
    Plan(plan::Plan),
    Worth(worth::Worth),
    Presets(presets::Presets),
    Report(report::Report),
    Serve(serve::Serve),
    Export(export::Export),
    Doctor(doctor::Doctor),
    Schema(schema::Schema),
    Completions(completions::Completions),
    #[command(hide = true)]
    Man(man::Man),
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
    arguments.global.apply();
    refuse_signals();
    match run(arguments.command) {
        Ok(exit) => exit,
        Err(error) => {
            output::error(&error);
            error.kind().into()
        }
    }
}

/// A file that grows too long is an error of its writer, in this process and in its judges, and no signal that kills.
fn refuse_signals() {
    // Without it the signal kills, which loses no more than another kill.
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
}

fn run(command: Command) -> Result<Exit, CommandError> {
    match command {
        Command::Init(command) => succeed(command.run()),
        Command::Evolve(command) => block_on(command.run()),
        Command::Resume(command) => block_on(command.run()),
        Command::Propose(command) => succeed(command.run()),
        Command::Stop(command) => succeed(command.run()),
        Command::Replay(command) => block_on(command.run()),
        Command::Fsck(command) => command.run(),
        Command::Evaluate(command) => block_on(command.run()),
        Command::Compare(command) => block_on(command.run()),
        Command::Apply(command) => command.run(),
        Command::Top(command) => succeed(command.run()),
        Command::Show(command) => succeed(command.run()),
        Command::Lineage(command) => succeed(command.run()),
        Command::Diff(command) => succeed(command.run()),
        Command::Log(command) => succeed(command.run()),
        Command::Loads(command) => succeed(command.run()),
        Command::Plan(command) => block_on(command.run()),
        Command::Worth(command) => block_on(command.run()),
        Command::Presets(command) => succeed(command.run()),
        Command::Serve(command) => block_on(async move { command.run().await }),
        Command::Report(command) => succeed(command.run()),
        Command::Export(command) => succeed(command.run()),
        Command::Doctor(command) => block_on(async move { succeed(command.run().await) }),
        Command::Schema(command) => succeed(command.run()),
        Command::Completions(command) => succeed(command.run(&mut Arguments::command())),
        Command::Man(command) => succeed(command.run(Arguments::command())),
        Command::Help(command) => command.run(Arguments::command()),
    }
}

/// For commands that end in an error or with exit code 0.
fn succeed(result: Result<(), CommandError>) -> Result<Exit, CommandError> {
    result.map(|()| Exit::Success)
}

fn block_on(command: impl Future<Output = Result<Exit, CommandError>>) -> Result<Exit, CommandError> {
    // Fails here, because the runtime panics when it lacks a descriptor later.
    let spare: io::Result<Vec<File>> = (0..SPARE_DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    drop(spare.map_err(CliError::Runtime)?);
    tokio::runtime::Runtime::new().map_err(CliError::Runtime)?.block_on(command)
}

fn after_help() -> String {
    format!("{}\n\n{}", help::list(), exit::help())
}

/// The command line, for tests that hold documents against it.
pub fn command() -> clap::Command {
    Arguments::command()
}
