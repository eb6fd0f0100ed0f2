//! `packevolve evolve` and `resume`: a run, with its progress on stderr and its closing table on stdout.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;

use super::{BadInput, config_path, find_run, read_text};
use crate::config::Config;
use crate::driver::{Driver, DriverError, Start};
use crate::event::StopReason;
use crate::exit::Exit;
use crate::inspect;
use crate::log;
use crate::progress::Progress;
use crate::proposer::corpus;
use crate::run::RunFolder;
use crate::search::Search;

/// Searches for better programs until as many candidates were made as asked for, or Ctrl-C.
#[derive(Debug, Args)]
pub struct Evolve {
    /// Settings; `config.yaml` of the current folder if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the run's folder; the date and time if not given.
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// Candidates of the run, the seed program and the corpus counted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    candidates: Option<u64>,
    /// Key of all random numbers.
    #[arg(long, value_name = "N")]
    rng_seed: Option<u64>,
    /// Your loads: a CSV file or a folder of them.
    #[arg(long, value_name = "PATH")]
    loads: Option<PathBuf>,
    /// auto, cpu, cuda:0, ...
    #[arg(long, value_name = "D")]
    device: Option<String>,
}

/// Goes on with a run that was stopped, or died.
#[derive(Debug, Args)]
pub struct Resume {
    /// Folder of the run, or its name in the folder of runs; the newest run if not given.
    run: Option<String>,
    /// Candidates of the run in all, those it has counted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    candidates: Option<u64>,
    /// Settings, for where the runs are; the run keeps its own.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Evolve {
    pub async fn run(self) -> anyhow::Result<Exit> {
        let mut config = Config::read(self.config.as_deref())?;
        if self.loads.is_some() {
            config.loads = self.loads;
        }
        config.search.candidates = self.candidates.unwrap_or(config.search.candidates);
        config.rng_seed = self.rng_seed.unwrap_or(config.rng_seed);
        config.evaluation.device = self.device.unwrap_or(config.evaluation.device);
        let settings = config.settings(config_path(self.config.as_deref()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let start = Start {
            settings,
            file_name: config.program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            program: read_text(&config.program)?,
            baseline: read_text(&config.baseline)?,
            corpus: config.proposers.corpus.as_deref().map_or(Ok(Vec::new()), corpus::read)?,
            epoch: epoch(now)?,
        };
        let name = self
            .run
            .unwrap_or_else(|| humantime::format_rfc3339_seconds(UNIX_EPOCH + now).to_string().replace(':', "-"));
        let folder = RunFolder::new(config.runs.join(name));
        let mut progress = Progress::start(start.settings.search.candidates);
        let logs = folder.log();
        let mut observer = |event: &_, search: &Search| progress.saw(event, search);
        let mut driver = Driver::start(folder, start, &mut observer).await?;
        log::write_to(&logs).context("cannot write the log")?;
        let outcome = driver.run().await;
        finish(driver, outcome)
    }
}

impl Resume {
    pub async fn run(self) -> anyhow::Result<Exit> {
        let folder = find_run(self.config.as_deref(), self.run.as_deref())?;
        log::write_to(&folder.log()).context("cannot write the log")?;
        let mut progress = Progress::start(0);
        let mut observer = |event: &_, search: &Search| progress.saw(event, search);
        let mut driver = Driver::resume(folder, self.candidates, &mut observer).await?;
        let outcome = driver.run().await;
        finish(driver, outcome)
    }
}

/// Tells how a run ended.
fn finish(driver: Driver<'_>, outcome: Result<StopReason, DriverError>) -> anyhow::Result<Exit> {
    let path = driver.folder().path().to_owned();
    let search = driver.search().clone();
    // The judges end before anything is printed.
    drop(driver);
    let reason = match outcome {
        Ok(reason) => reason,
        Err(error) => {
            let hint = format!("the run was kept\nhint: `packevolve resume {}` goes on with it", path.display());
            return Err(anyhow::Error::new(error).context(hint));
        }
    };
    eprintln!("stopped: {reason}");
    println!("{}", inspect::rows_table(&inspect::closing(&search), &search.started().cases, None));
    if let Some(best) = search.best() {
        let known = search.candidate(best.candidate).expect("BUG: the best is a candidate");
        println!(
            "\nbest: candidate {} ({}), combined_score {:.4}\n      {} in {}\n      packevolve show best {run}\n      \
             git -C {run}/archive.git show best:{}",
            best.candidate,
            known.name,
            best.score,
            known.commit,
            path.join("archive.git").display(),
            search.started().file_name,
            run = path.display(),
        );
    }
    Ok(if reason == StopReason::Interrupted { Exit::Interrupted } else { Exit::Success })
}

/// The time that commits count from: now, or SOURCE_DATE_EPOCH for runs that are to be equal to the bit.
fn epoch(now: Duration) -> anyhow::Result<i64> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
        Ok(text) => text
            .parse()
            .ok()
            .filter(|seconds| *seconds >= 0)
            .ok_or_else(|| BadInput(format!("SOURCE_DATE_EPOCH is no number of seconds: {text:?}")).into()),
    }
}
