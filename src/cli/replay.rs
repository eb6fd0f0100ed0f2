//! `packevolve replay`: is the record what it says?

use clap::Args;

use super::{RunArguments, find_run};
use crate::exit::Exit;
use crate::replay::{self, Divergence};
use crate::repository::Repository;
use crate::run::Run;

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

impl Replay {
    pub async fn run(&self) -> anyhow::Result<Exit> {
        let run = match self.open() {
            Ok(run) => run,
            // A journal that was tampered with is what replay is there to find.
            Err(error) if error.chain().any(|cause| cause.is::<crate::journal::JournalError>()) => {
                eprintln!("{}", super::told(&error));
                return Ok(Exit::Diverged);
            }
            Err(error) => return Err(error),
        };
        match self.replay(&run).await? {
            Ok(()) => Ok(Exit::Success),
            Err(Divergence::Judge(error)) => Err(error.into()),
            Err(divergence) => {
                eprintln!("error: not reproduced: {}", super::told(&divergence.into()).trim_start_matches("error: "));
                Ok(Exit::Diverged)
            }
        }
    }

    fn open(&self) -> anyhow::Result<Run> {
        let folder = find_run(self.run.config.as_deref(), self.run.run.as_deref())?;
        Ok(Run::open(folder)?)
    }

    async fn replay(&self, run: &Run) -> anyhow::Result<Result<(), Divergence>> {
        let repository = Repository::open(&run.folder.archive())?;
        let Some(wanted) = &self.candidate else {
            return Ok(whole(run, &repository));
        };
        let candidate = run.candidate(wanted)?;
        let steps = match replay::lineage(run, &repository, candidate) {
            Ok(steps) => steps,
            Err(divergence) => return Ok(Err(divergence)),
        };
        for step in &steps {
            println!("{:>6}  {}  {}", step.candidate.to_string(), step.commit.short(), step.name);
        }
        println!("programs and commit ids are reproduced");
        if self.no_evaluate {
            return Ok(Ok(()));
        }
        Ok(replay::measure(run, &repository, candidate).await.map(|again| match again.time_ratio {
            Some(ratio) => println!(
                "balancedness is reproduced to the last digit in {} calls; time now / time then {ratio:.3}",
                again.equal_calls
            ),
            None => println!("it is judged as before"),
        }))
    }
}

fn whole(run: &Run, repository: &Repository) -> Result<(), Divergence> {
    let steps = replay::whole(run, repository)?;
    println!("{} events: every decision, proposal, program and commit id is reproduced", run.entries.len());
    println!("{} candidates", steps.len());
    Ok(())
}
