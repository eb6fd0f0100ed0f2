//! `packevolve replay`: is the record what it says?

use std::path::PathBuf;

use clap::Args;

use super::RunArguments;
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::output::{data, talk};
use crate::replay::{self, Divergence, Remeasured};
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
                talk(super::told(&error));
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

    async fn replay(&self, run: &Run) -> anyhow::Result<Result<(), Divergence>> {
        let repository = Repository::open(&run.folder.archive())?;
        let Some(wanted) = &self.candidate else {
            return whole(run, &repository);
        };
        let candidate = run.candidate(wanted)?;
        let steps = match replay::lineage(run, &repository, candidate) {
            Ok(steps) => steps,
            Err(divergence) => return Ok(Err(divergence)),
        };
        for step in &steps {
            data(format_args!("{:>6}  {}  {}\n", step.candidate.to_string(), step.commit.short(), step.name))?;
        }
        data("programs and commit ids are reproduced\n")?;
        if self.no_evaluate {
            return Ok(Ok(()));
        }
        match replay::measure(run, &repository, candidate).await {
            Ok(again) => Ok(Ok(data(told_again(&again))?)),
            Err(divergence) => Ok(Err(divergence)),
        }
    }
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

fn whole(run: &Run, repository: &Repository) -> anyhow::Result<Result<(), Divergence>> {
    Ok(match replay::whole(run, repository) {
        Ok(steps) => Ok(data(format_args!(
            "{} events, {} candidates: every decision, proposal, program and commit id is reproduced\n",
            run.entries.len(),
            steps.len()
        ))?),
        Err(divergence) => Err(divergence),
    })
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
