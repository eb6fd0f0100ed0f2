//! Program: which program plans: one that is named, a candidate of a run, or the one that PackEvolve brings along.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use packevolve_contract::inconsistency::Inconsistency;

use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::input::read_text;
use crate::run::folder::RunError;
use crate::values::candidate::{CandidateId, CommitId};
use crate::view::output::{harmless, status};

/// The program without a run.
const SHIPPED: (&str, &str) = ("packed.py", include_str!("../../candidates/packed.py"));

/// Which program a command plans with.
#[derive(Debug, Args)]
pub struct ProgramArgs {
    /// Program with a function `rebalance_experts`, in place of a run's best
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["run", "runs"])]
    program: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
}

/// A program and where it comes from.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub text: String,
    /// The file name that tracebacks show.
    pub file_name: String,
    pub origin: Origin,
}

#[derive(Clone, Debug)]
pub enum Origin {
    File(PathBuf),
    Candidate {
        run: String,
        candidate: CandidateId,
        /// NAME of its proposal.
        name: String,
        commit: CommitId,
        /// As the judges of its run found.
        inconsistencies: Vec<Inconsistency>,
    },
    /// A program of PackEvolve's own, by its file name.
    Shipped(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Candidate { run, candidate, name, .. } => {
                write!(f, "candidate {candidate} ({}) of run {}", harmless(name), harmless(run))
            }
            Self::Shipped(name) => write!(f, "{name}, which PackEvolve brings along"),
        }
    }
}

impl ProgramArgs {
    /// The named program; otherwise a candidate, by default the best, of the named or the newest run; where there is no
    /// run and none was named, the program that PackEvolve brings along. Says on stderr which one it is.
    pub fn choose(&self, candidate: Option<&str>) -> Result<Chosen, CommandError> {
        let chosen = match &self.program {
            Some(path) => Chosen {
                text: read_text(path)?,
                file_name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                origin: Origin::File(path.clone()),
            },
            None => match self.of_run(candidate) {
                Err(error) if candidate.is_none() && self.run.is_empty() && finds_none(&error) => shipped(),
                chosen => chosen?,
            },
        };
        status(format_args!("planning with {}", chosen.origin));
        Ok(chosen)
    }

    fn of_run(&self, candidate: Option<&str>) -> Result<Chosen, CommandError> {
        let run = self.run.open()?;
        let candidate = run.candidate(candidate.unwrap_or("best"))?;
        let known = run.search.candidate(candidate).expect("BUG: the candidate was found in the run");
        Ok(Chosen {
            text: run.programs.program(candidate)?.to_string(),
            file_name: run.search.origin().file_name.clone(),
            origin: Origin::Candidate {
                run: run.folder.name(),
                candidate,
                name: known.name.clone(),
                commit: known.commit,
                inconsistencies: known.inconsistencies.clone(),
            },
        })
    }
}

fn finds_none(error: &CommandError) -> bool {
    error.is(|error: &RunError| matches!(error, RunError::NoRuns(_)))
}

fn shipped() -> Chosen {
    let (name, text) = SHIPPED;
    Chosen { text: text.to_owned(), file_name: name.to_owned(), origin: Origin::Shipped(name) }
}
