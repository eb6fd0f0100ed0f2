//! Arguments that several commands share.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::error::CommandError;
use crate::config::Config;
use crate::journal::TornLine;
use crate::run::fold::Run;
use crate::run::folder::RunFolder;
use crate::run::resume::LiveRun;
use crate::serve::Where;
use crate::view::output::status;

/// Which run a command reads.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Name of a run in the folder of runs, or the path of its folder [default: the newest run]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Folder of runs [default: `runs` in ./config.yaml]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
}

impl RunArgs {
    pub fn folder(&self) -> Result<RunFolder, CommandError> {
        Ok(match &self.run {
            // A path needs no folder of runs, so a config.yaml with a mistake does not matter.
            Some(path) if Path::new(path).join("journal.jsonl").is_file() => RunFolder::new(path.into()),
            Some(name) => RunFolder::find(&self.runs()?, name)?,
            None => RunFolder::newest(&self.runs()?)?,
        })
    }

    /// The named run, or else all of the folder of runs.
    pub fn place(&self) -> Result<Where, CommandError> {
        match &self.run {
            Some(_) => self.folder().map(Where::Run),
            None => self.runs().map(Where::Folder),
        }
    }

    /// Whether the command line names no run.
    pub fn is_empty(&self) -> bool {
        self.run.is_none() && self.runs.is_none()
    }

    fn runs(&self) -> Result<PathBuf, CommandError> {
        match &self.runs {
            Some(runs) => Ok(runs.clone()),
            None => Ok(Config::read(None)?.runs),
        }
    }

    pub fn open(&self) -> Result<Run, CommandError> {
        let run = Run::open(self.folder()?)?;
        note(run.torn.as_ref());
        Ok(run)
    }

    /// Reads the run and locks its journal.
    pub fn to_resume(&self) -> Result<LiveRun, CommandError> {
        let run = LiveRun::resumed(self.folder()?)?;
        note(run.torn.as_ref());
        Ok(run)
    }
}

fn note(torn: Option<&TornLine>) {
    if let Some(torn) = torn {
        status(format_args!("note: {torn}"));
    }
}
