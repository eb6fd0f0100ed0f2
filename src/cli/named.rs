//! Named: runs and candidates as they are named on the command line.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Config;
use crate::journal::TornLine;
use crate::run::fold::Run;
use crate::run::folder::RunFolder;
use crate::run::lookup::Glance;
use crate::run::resume::ResumableRun;
use crate::values::candidate::CandidateId;
use crate::view::output::status;

/// A run, in the commands that read one.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Folder of the run, or its name in the folder of runs; the newest run if not given.
    pub run: Option<String>,
    /// Settings, for where the runs are.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl RunArguments {
    pub fn open(&self) -> anyhow::Result<Run> {
        let folder = find_run(self.config.as_deref(), self.run.as_deref())?;
        let run = Run::open(folder)?;
        note(run.torn.as_ref());
        Ok(run)
    }

    /// To go on with it.
    pub fn to_resume(&self) -> anyhow::Result<ResumableRun> {
        let resumption = ResumableRun::read(find_run(self.config.as_deref(), self.run.as_deref())?)?;
        note(resumption.torn());
        Ok(resumption)
    }

    /// For commands that need little of it.
    pub fn glance(&self) -> anyhow::Result<Glance> {
        let folder = find_run(self.config.as_deref(), self.run.as_deref())?;
        let glance = Glance::open(&folder)?;
        note(glance.torn.as_ref());
        Ok(glance)
    }
}

fn note(torn: Option<&TornLine>) {
    if let Some(torn) = torn {
        status(format_args!("note: {torn}"));
    }
}

/// The run that a person named, or the newest.
pub fn find_run(config: Option<&Path>, name: Option<&str>) -> anyhow::Result<RunFolder> {
    let runs = || Config::read(config).map(|config| config.runs);
    Ok(match name {
        Some(path) if Path::new(path).join("journal.jsonl").is_file() => RunFolder::new(path.into()),
        Some(name) => RunFolder::find(&runs()?, name)?,
        None => RunFolder::newest(&runs()?)?,
    })
}

/// So many candidates, and the run if not the newest, before or behind them.
pub struct Names<'a> {
    names: Vec<String>,
    count: usize,
    config: Option<&'a Path>,
}

impl<'a> Names<'a> {
    /// What was named, in that order, of so many candidates and a run.
    pub fn of(names: &[Option<&String>], count: usize, config: Option<&'a Path>) -> Self {
        Self { names: names.iter().flatten().map(|name| (*name).clone()).collect(), count, config }
    }

    /// The run and the candidates. Without any candidate named, the best.
    pub fn glance(&self) -> anyhow::Result<(Glance, Vec<CandidateId>)> {
        let (run, wanted) = self.sorted();
        let mut run = self.arguments(run).glance()?;
        let candidates = wanted.iter().map(|wanted| run.candidate(wanted)).collect::<Result<_, _>>()?;
        Ok((run, candidates))
    }

    /// The one candidate and its run, of which all is read.
    pub fn find_one(&self) -> anyhow::Result<(Run, CandidateId)> {
        assert_eq!(self.count, 1, "BUG: one candidate of several");
        let (run, wanted) = self.sorted();
        let run = self.arguments(run).open()?;
        let candidate = run.candidate(&wanted[0])?;
        Ok((run, candidate))
    }

    fn arguments(&self, run: Option<&String>) -> RunArguments {
        RunArguments { run: run.cloned(), config: self.config.map(Path::to_owned) }
    }

    /// What names the run and what names candidates.
    fn sorted(&self) -> (Option<&String>, Vec<String>) {
        let (run, wanted) = self.apart();
        (run, if wanted.is_empty() { vec!["best".to_owned()] } else { wanted.to_vec() })
    }

    fn apart(&self) -> (Option<&String>, &[String]) {
        match &self.names[..] {
            [] => (None, &[]),
            [one] if self.count == 1 && self.is_run_alone(one) => (Some(one), &[]),
            names if names.len() <= self.count => (None, names),
            // If neither is a run, what stands where a run belongs is said not to be one.
            [run, candidates @ ..] if !self.is_run(&self.names[self.count]) && self.is_run(run) => {
                (Some(run), candidates)
            }
            [candidates @ .., run] => (Some(run), candidates),
        }
    }

    fn is_run(&self, name: &str) -> bool {
        find_run(self.config, Some(name)).is_ok()
    }

    /// Whether a name that stands alone is that of a run: numbers and these words always are candidates.
    fn is_run_alone(&self, name: &str) -> bool {
        !matches!(name, "best" | "seed") && name.parse::<u64>().is_err() && self.is_run(name)
    }
}
