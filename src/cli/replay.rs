//! `packevolve replay`: is the record what it says?

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Format, RunArguments, print_json};
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::output::{data, talk};
use crate::replay::{self, Divergence, Remeasured, Step};
use crate::repository::Repository;
use crate::run::{Run, RunError};

/// Makes a candidate again from the program that the run started from, edit by edit, compares every program and commit
/// id, and measures it again. Without a candidate the whole run is made again: every decision, proposal and candidate.
#[derive(Debug, Args)]
pub struct Replay {
    /// Number, NAME, commit prefix or `best`.
    #[arg(index = 2)]
    candidate: Option<String>,
    /// Do not measure again; needs no torch.
    #[arg(long)]
    no_evaluate: bool,
    #[command(flatten)]
    run: RunArguments,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What was reproduced, as JSON; the shape is part of the interface.
#[derive(Serialize)]
struct Reproduced<'a> {
    candidates: &'a [Step],
    /// Absent if nothing was measured again.
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
                talk(super::told(&self.first_divergence(error)));
                return Ok(Exit::Diverged);
            }
            Err(error) => return Err(error),
        };
        if run.torn.is_some() {
            talk(super::told(&NotWhole(run.folder.journal()).into()));
            return Ok(Exit::Diverged);
        }
        match self.replay(&run).await? {
            Ok(()) => Ok(Exit::Success),
            Err(Divergence::Judge(error)) => Err(error.into()),
            Err(divergence) => {
                talk(super::told(&anyhow::Error::new(divergence).context("not reproduced")));
                Ok(Exit::Diverged)
            }
        }
    }

    /// What is wrong with a journal whose events cannot be: they may have parted from what they come of before that.
    fn first_divergence(&self, error: anyhow::Error) -> anyhow::Error {
        let earlier = || {
            let folder = super::find_run(self.run.config.as_deref(), self.run.run.as_deref()).ok()?;
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

    async fn replay(&self, run: &Run) -> anyhow::Result<Result<(), Divergence>> {
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
            data(told_steps(&steps))?;
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
            (Format::Json, measured) => print_json(&Reproduced { candidates: &steps, measured: measured.as_ref() })?,
            (Format::Table, Some(again)) => data(told_again(again))?,
            (Format::Table, None) => {}
        }
        Ok(Ok(()))
    }

    fn whole(&self, run: &Run, repository: &Repository) -> anyhow::Result<Result<(), Divergence>> {
        let steps = match replay::whole(run, repository) {
            Ok(steps) => steps,
            Err(divergence) => return Ok(Err(divergence)),
        };
        match self.format {
            Format::Json => print_json(&Reproduced { candidates: &steps, measured: None })?,
            Format::Table => data(format_args!(
                "{} events, {} candidates: every decision, proposal, program and commit id is reproduced\n",
                run.entries.len(),
                steps.len()
            ))?,
        }
        Ok(Ok(()))
    }
}

fn told_steps(steps: &[Step]) -> String {
    let line = |step: &Step| format!("{:>6}  {}  {}\n", step.candidate.to_string(), step.commit.short(), step.name);
    steps.iter().map(line).collect::<String>() + "programs and commit ids are reproduced\n"
}

fn told_again(again: &Remeasured) -> String {
    match again {
        Remeasured::Calls { equal, time_ratio } => format!(
            "balancedness is reproduced to the last digit in {equal} calls; time now / time then {time_ratio:.3}\n"
        ),
        Remeasured::Rejected => "it is rejected as before\n".to_owned(),
        Remeasured::NeverJudged => "it was not judged in this run, so there is nothing to compare with\n".to_owned(),
    }
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
