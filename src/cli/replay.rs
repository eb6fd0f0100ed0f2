//! `packevolve replay`.

use std::path::{Path, PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::RunArgs;
use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::cli::write::{check_consistency, new_folder, write_folder};
use crate::run::fold::Run;
use crate::run::folder::RunError;
use crate::run::replay::{self, Calls, Remeasured, Speed, Step};
use crate::values::candidate::CandidateId;
use crate::values::error_kind::ErrorKind;
use crate::view::export::series;
use crate::view::inspect::FORMAT;
use crate::view::output::{harmless, print, status};
use crate::view::table::Table;
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
    /// Export an inconsistent program all the same
    #[arg(long, requires = "export")]
    force: bool,
    #[command(flatten)]
    run: RunArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve replay --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct ReplayJson<'a> {
    format: u32,
    candidates: &'a [Step],
    /// Absent with `--no-evaluate` and for a whole run.
    measured: Option<&'a Remeasured>,
}

impl Replay {
    pub async fn run(&self) -> Result<Exit, CommandError> {
        let run = self.open()?;
        let folder = self.export.as_deref().map(new_folder).transpose()?;
        if folder.is_some() && !self.force {
            check_consistency(&run, run.candidate(self.exported())?)?;
        }
        let exit = self.replay(&run).await.map_err(not_reproduced)?;
        folder.map(|folder| self.write_series(&run, &folder)).transpose()?;
        Ok(exit)
    }

    /// Reads the run. A journal that was changed differs from the record; other errors are not about the record.
    fn open(&self) -> Result<Run, CommandError> {
        let run = self.run.open().map_err(|error| match error.is(is_tampered) {
            true => not_reproduced(self.first_divergence(error).with_kind(ErrorKind::Diverged)),
            false => error,
        })?;
        // A crash leaves an unfinished line, but so does tampering: replay vouches for neither.
        match run.torn {
            Some(_) => Err(CliError::Torn(run.folder.journal()).into()),
            None => Ok(run),
        }
    }

    /// The error of a journal with an impossible event: events before it may already differ from what replay gives.
    fn first_divergence(&self, error: CommandError) -> CommandError {
        let earlier = || {
            let (run, _) = Run::open_possible(self.run.folder().ok()?).ok()?;
            replay::whole(&run).err()
        };
        match error.is(|error| matches!(error, RunError::Impossible { .. })) {
            true => earlier().map_or(error, CommandError::from),
            false => error,
        }
    }

    async fn replay(&self, run: &Run) -> Result<Exit, CommandError> {
        match &self.candidate {
            Some(wanted) => self.candidate(run, run.candidate(wanted)?).await,
            None => self.whole(run),
        }
    }

    async fn candidate(&self, run: &Run, candidate: CandidateId) -> Result<Exit, CommandError> {
        let steps = replay::lineage(run, candidate)?;
        if self.format == Format::Table {
            print(steps_text(&steps))?;
        }
        let measured = match self.no_evaluate {
            true => None,
            false => Some(replay::measure(run, candidate).await?),
        };
        let json = ReplayJson { format: FORMAT, candidates: &steps, measured: measured.as_ref() };
        let is_mixed = run.search.places().are_mixed();
        let text = |terminal: &_| json.measured.map_or(String::new(), |again| measured_text(again, is_mixed, terminal));
        self.format.print(&json, text)?;
        Ok(measured.as_ref().map_or(Exit::Success, exit_of))
    }

    fn whole(&self, run: &Run) -> Result<Exit, CommandError> {
        let steps = replay::whole(run)?;
        let (events, candidates) = (run.events, steps.len());
        self.format.print(&ReplayJson { format: FORMAT, candidates: &steps, measured: None }, |_| {
            format!(
                "{events} events, {candidates} candidates: every decision, proposal, program and commit id is reproduced\n"
            )
        })?;
        Ok(Exit::Success)
    }

    fn exported(&self) -> &str {
        self.candidate.as_deref().unwrap_or("best")
    }

    fn write_series(&self, run: &Run, folder: &Path) -> Result<(), CommandError> {
        let candidate = run.candidate(self.exported())?;
        let files = series::series(run, candidate)?;
        write_folder(folder, &files)?;
        status(format_args!("wrote {} files to {}", files.len(), folder.display()));
        Ok(())
    }
}

/// Only a divergence says something about the record.
fn not_reproduced(error: CommandError) -> CommandError {
    match error.kind() {
        ErrorKind::Diverged => error.note("the record is not reproduced"),
        _ => error,
    }
}

fn exit_of(again: &Remeasured) -> Exit {
    match again {
        Remeasured::Calls(calls) if !calls.is_balanced_alike() => Exit::Diverged,
        Remeasured::Calls(calls) if !calls.is_as_fast() => Exit::TimingDiffers,
        _ => Exit::Success,
    }
}

fn steps_text(steps: &[Step]) -> String {
    let line = |step: &Step| format!("{:>6}  {}  {}\n", step.candidate.to_string(), step.commit.short(), step.name);
    steps.iter().map(line).collect::<String>() + "programs and commit ids are reproduced\n"
}

fn measured_text(again: &Remeasured, is_mixed: bool, terminal: &Terminal) -> String {
    match again {
        Remeasured::Calls(calls) if is_mixed => {
            format!("recorded on {}\n{}", harmless(&calls.recorded_on), calls_text(calls, terminal))
        }
        Remeasured::Calls(calls) => calls_text(calls, terminal),
        Remeasured::Rejected => "it is rejected again\n".to_owned(),
        Remeasured::NeverJudged => "this run did not judge it, so there is nothing to compare with\n".to_owned(),
    }
}

fn calls_text(calls: &Calls, terminal: &Terminal) -> String {
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
    text + &speed_text(calls, terminal)
}

fn speed_text(calls: &Calls, terminal: &Terminal) -> String {
    let ratio = format!("time now / time then {:.3}", calls.time_ratio);
    let cases = calls.speed.len();
    if calls.is_as_fast() {
        return format!("speed is within what was recorded in all {cases} cases; {ratio}\n");
    }
    let moved: Vec<&Speed> = calls.speed.iter().filter(|speed| speed.moved).collect();
    let heading = format!("speed has MOVED in {} of {cases} cases", moved.len());
    let figure = |time: f64| format!("{time:.3}");
    let cells =
        |speed: &&Speed| vec![speed.case.clone(), figure(speed.fastest), figure(speed.slowest), figure(speed.now)];
    let table = Table::new("case#|fastest\nthen#|slowest\nthen#|median\nnow#", moved.iter().map(cells).collect())
        .draw(terminal);
    format!("{}; {ratio}; in times of the reference program:\n{table}\n", terminal.paint(Tone::Bad, &heading))
}

fn is_tampered(error: &RunError) -> bool {
    match error {
        RunError::Impossible { .. } => true,
        RunError::Journal(error) => error.damaged_line().is_some(),
        _ => false,
    }
}
