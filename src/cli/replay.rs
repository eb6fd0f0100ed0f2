//! `packevolve replay`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::archive::Repository;
use crate::cli::args::RunArgs;
use crate::cli::exit::Exit;
use crate::cli::format::{Format, print_json};
use crate::cli::input::BadInput;
use crate::journal::JournalError;
use crate::run::fold::Run;
use crate::run::folder::RunError;
use crate::run::replay::{self, Calls, Divergence, Remeasured, Speed, Step};
use crate::view::export;
use crate::view::inspect::FORMAT;
use crate::view::output::{self, print, status};
use crate::view::table::{Column, Table};
use crate::view::terminal::{Terminal, Tone};

/// How many calls with other results are printed.
const MOST_MOVED: usize = 10;

/// Reproduce a candidate or a whole run from its record
///
/// For a candidate: applies its edits one by one from the seed program, compares every program and commit id with the
/// record, and measures the result again. For a whole run: repeats every decision, proposal and candidate.
#[derive(Debug, Args)]
pub struct Replay {
    /// Number, NAME, commit prefix, `best` or `seed` [default: the whole run]
    candidate: Option<String>,
    /// Do not measure again; needs no torch
    #[arg(long)]
    no_evaluate: bool,
    /// Write the edits that lead to the candidate (`best` for a whole run) to a new folder if they are reproduced: as
    /// numbered proposals, as one patch, and the program
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Its JSON shape is part of the interface.
#[derive(Serialize)]
struct Reproduced<'a> {
    format: u32,
    candidates: &'a [Step],
    /// Absent with `--no-evaluate` and for a whole run.
    measured: Option<&'a Remeasured>,
}

/// A crash leaves such a line and so does tampering; a record that is to be vouched for has none.
#[derive(Debug, thiserror::Error)]
#[error(
    "not reproduced: the last line of {} is not whole\nhint: if the run is under way or was cut off, \
     `packevolve resume` puts it in order",
    .0.display()
)]
struct NotWhole(PathBuf);

impl Replay {
    pub async fn run(&self) -> anyhow::Result<Exit> {
        let run = match self.run.open() {
            Ok(run) => run,
            Err(error) if error.downcast_ref().is_some_and(is_tampered) => {
                output::error(crate::cli::error::told(&self.first_divergence(error)));
                return Ok(Exit::Diverged);
            }
            Err(error) => return Err(error),
        };
        if run.torn.is_some() {
            output::error(crate::cli::error::told(&NotWhole(run.folder.journal()).into()));
            return Ok(Exit::Diverged);
        }
        let folder = self.export.as_deref().map(new_folder).transpose()?;
        match self.replay(&run).await? {
            Ok(exit) => {
                folder.map(|folder| self.write_series(&run, &folder)).transpose()?;
                Ok(exit)
            }
            Err(Divergence::Judge(error)) => Err(error.into()),
            Err(divergence) => {
                output::error(crate::cli::error::told(&anyhow::Error::new(divergence).context("not reproduced")));
                Ok(Exit::Diverged)
            }
        }
    }

    /// What is wrong with a journal whose events cannot be: they may have parted from what they come of before that.
    fn first_divergence(&self, error: anyhow::Error) -> anyhow::Error {
        let earlier = || {
            let folder = self.run.folder().ok()?;
            let (run, _) = Run::open_possible(folder).ok()?;
            let repository = Repository::open(&run.folder.archive()).ok()?;
            replay::part(&run, &repository).err()
        };
        match error.downcast_ref() {
            Some(RunError::Impossible { .. }) => match earlier() {
                Some(divergence) => anyhow::Error::new(divergence).context("not reproduced"),
                None => error.context("not reproduced"),
            },
            _ => error,
        }
    }

    async fn replay(&self, run: &Run) -> anyhow::Result<Result<Exit, Divergence>> {
        let repository = Repository::open(&run.folder.archive())?;
        let Some(wanted) = &self.candidate else {
            return self.whole(run, &repository);
        };
        let candidate = run.candidate(wanted)?;
        let steps = match replay::lineage(run, &repository, candidate) {
            Ok(steps) => steps,
            Err(divergence) => return Ok(Err(divergence)),
        };
        if self.format == Format::Table {
            print(told_steps(&steps))?;
        }
        let again = if self.no_evaluate {
            None
        } else {
            match replay::measure(run, &repository, candidate).await {
                Ok(again) => Some(again),
                Err(divergence) => return Ok(Err(divergence)),
            }
        };
        match (self.format, &again) {
            (Format::Json, measured) => {
                print_json(&Reproduced { format: FORMAT, candidates: &steps, measured: measured.as_ref() })?;
            }
            (Format::Table, Some(again)) => print(told_again(again, &Terminal::of_stdout()))?,
            (Format::Table, None) => {}
        }
        Ok(Ok(again.as_ref().map_or(Exit::Success, exit_of)))
    }

    /// Writes the edits of the replayed candidate.
    fn write_series(&self, run: &Run, folder: &Path) -> anyhow::Result<()> {
        let candidate = run.candidate(self.candidate.as_deref().unwrap_or("best"))?;
        let files = export::series(run, &Repository::open(&run.folder.archive())?, candidate)?;
        write_folder(folder, &files)
            .map_err(|error| BadInput(format!("cannot write {}: {error}", folder.display())))?;
        status(format_args!("wrote {} files to {}", files.len(), folder.display()));
        Ok(())
    }

    fn whole(&self, run: &Run, repository: &Repository) -> anyhow::Result<Result<Exit, Divergence>> {
        let steps = match replay::whole(run, repository) {
            Ok(steps) => steps,
            Err(divergence) => return Ok(Err(divergence)),
        };
        match self.format {
            Format::Json => print_json(&Reproduced { format: FORMAT, candidates: &steps, measured: None })?,
            Format::Table => print(format_args!(
                "{} events, {} candidates: every decision, proposal, program and commit id is reproduced\n",
                run.entries.len(),
                steps.len()
            ))?,
        }
        Ok(Ok(Exit::Success))
    }
}

fn exit_of(again: &Remeasured) -> Exit {
    match again {
        Remeasured::Calls(calls) if !calls.is_balanced_alike() => Exit::Diverged,
        Remeasured::Calls(calls) if !calls.is_as_fast() => Exit::TimingDiffers,
        _ => Exit::Success,
    }
}

fn told_steps(steps: &[Step]) -> String {
    let line = |step: &Step| format!("{:>6}  {}  {}\n", step.candidate.to_string(), step.commit.short(), step.name);
    steps.iter().map(line).collect::<String>() + "programs and commit ids are reproduced\n"
}

fn told_again(again: &Remeasured, terminal: &Terminal) -> String {
    match again {
        Remeasured::Calls(calls) => told_calls(calls, terminal),
        Remeasured::Rejected => "it is rejected as before\n".to_owned(),
        Remeasured::NeverJudged => "it was not judged in this run, so there is nothing to compare with\n".to_owned(),
    }
}

fn told_calls(calls: &Calls, terminal: &Terminal) -> String {
    let mut text = String::new();
    for difference in &calls.elsewhere {
        text += &format!("{difference}: digits and times may move\n");
    }
    let count = calls.compared;
    if calls.is_balanced_alike() {
        text += &format!("balancedness and gaps are reproduced to the last digit in {count} calls\n");
    } else {
        text += &format!("{} in {count} calls:\n", terminal.paint(Tone::Bad, "balancedness or gaps have MOVED"));
        for moved in calls.moved.iter().take(MOST_MOVED) {
            text += &format!("  {moved}\n");
        }
        text += &match calls.moved.len().saturating_sub(MOST_MOVED) {
            0 => String::new(),
            more => format!("  and {more} more; --format json has all of them\n"),
        };
    }
    text + &told_speed(calls, terminal)
}

fn told_speed(calls: &Calls, terminal: &Terminal) -> String {
    let ratio = format!("time now / time then {:.3}", calls.time_ratio);
    let cases = calls.speed.len();
    if calls.is_as_fast() {
        return format!("speed is within what was recorded in all {cases} cases; {ratio}\n");
    }
    let moved: Vec<&Speed> = calls.speed.iter().filter(|speed| speed.moved).collect();
    let heading = format!("speed has MOVED in {} of {cases} cases", moved.len());
    let header = ["case", "fastest\nthen", "slowest\nthen", "median\nnow"].map(|name| (name, Column::Right));
    let figure = |time: f64| format!("{time:.3}");
    let cells =
        |speed: &&Speed| vec![speed.case.clone(), figure(speed.fastest), figure(speed.slowest), figure(speed.now)];
    let table = Table::new(&header, moved.iter().map(cells).collect()).draw(terminal);
    format!("{}; {ratio}; in times of the reference program:\n{table}\n", terminal.paint(Tone::Bad, &heading))
}

/// A folder that does not exist or is empty.
fn new_folder(path: &Path) -> Result<PathBuf, BadInput> {
    let shown = path.display();
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(path.to_owned()),
        Ok(false) => Err(BadInput(format!("{shown} is not empty\nhint: name a new folder"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(BadInput(format!("cannot write to {shown}: {error}"))),
    }
}

fn write_folder(folder: &Path, files: &[(String, Vec<u8>)]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    files.iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}

/// Whether a journal is not as it was written, which replay is there to find; another one that cannot be read is not.
fn is_tampered(error: &RunError) -> bool {
    match error {
        RunError::Impossible { .. } => true,
        RunError::Journal(error) => matches!(
            error,
            JournalError::Damaged { .. }
                | JournalError::OutOfOrder { .. }
                | JournalError::NotJson { .. }
                | JournalError::NotUtf8 { .. }
                | JournalError::TooLong { .. }
        ),
        _ => false,
    }
}
