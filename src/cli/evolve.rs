//! `packevolve evolve` and `packevolve resume`. Progress goes to stderr, the closing table to stdout.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::RunArgs;
use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::cli::format::Format;
use crate::cli::input::{check_loads, note_groups, read_asset};
use crate::cli::logging;
use crate::config::{Asset, Config, ProposersConfig, Target};
use crate::proposer::catalogue::{self, Catalogue};
use crate::proposer::compose::is_editable;
use crate::proposer::corpus;
use crate::run::declined::declined_documents;
use crate::run::driver::{Driver, DriverError, RunUpdate, Start};
use crate::run::folder::RunFolder;
use crate::search::Search;
use crate::search::best::Best;
use crate::values::candidate::CandidateId;
use crate::values::cost::Charge;
use crate::values::event::StopReason;
use crate::values::settings::Settings;
use crate::view::format::score;
use crate::view::gain::Gain;
use crate::view::inspect::{self, Asked, FORMAT, Row};
use crate::view::output::status;
use crate::view::progress::Progress;
use crate::view::terminal::Terminal;

/// The last second of the year 9999; git and its readers take no later time.
const LATEST_EPOCH: i64 = 253_402_300_799;

/// Search for better programs
///
/// Stops after the number of candidates in the settings, or on Ctrl-C.
#[derive(Debug, Args)]
pub struct Evolve {
    /// Settings file [default: ./config.yaml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the new run, a folder in the folder of runs [default: date and time]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// Folder of runs [default: `runs` in the settings]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Candidates to make, including the seed program and the corpus
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    candidates: Option<u64>,
    /// Seed of all random numbers but those of loads and duels
    #[arg(long, value_name = "N")]
    rng_seed: Option<u64>,
    /// Loads: a file, or a folder of files; `packevolve help loads` lists the formats
    #[arg(long, value_name = "PATH")]
    loads: Option<PathBuf>,
    /// Device to measure on: auto, cpu, cuda:0, ...
    #[arg(long, value_name = "D")]
    device: Option<String>,
    /// Format of the closing table
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Continue a run that was stopped or killed
#[derive(Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    run: RunArgs,
    /// Candidates of the run in total, including the existing ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    candidates: Option<u64>,
    /// Format of the closing table
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Evolve {
    pub async fn run(self) -> Result<Exit, CommandError> {
        let mut config = Config::read(self.config.as_deref())?;
        config.runs = self.runs.unwrap_or(config.runs);
        config.search.candidates = self.candidates.unwrap_or(config.search.candidates);
        config.rng_seed = self.rng_seed.unwrap_or(config.rng_seed);
        config.loads = self.loads.or(config.loads);
        config.evaluation.device = self.device.unwrap_or(config.evaluation.device);
        let settings = config.settings()?;
        check_loads(&config)?;
        note_groups(&settings.evaluation.topology);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let folder = new_folder(&config.runs, &self.run.unwrap_or_else(|| date_and_time(now)))?;
        let start = start(&config, settings, now)?;
        let mut progress = Progress::start();
        let logs = folder.log();
        let mut observer = |update: RunUpdate<'_>, search: &Search| progress.saw(update, search);
        let mut driver = Driver::start(folder, start, &mut observer).await?;
        note_torch(driver.search());
        write_log(&logs)?;
        let outcome = driver.run().await;
        finish(driver, outcome, self.format).await
    }
}

fn date_and_time(now: Duration) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + now).to_string().replace(':', "-")
}

/// Fails before anything is read or started; the driver checks again.
fn new_folder(runs: &Path, name: &str) -> Result<RunFolder, CommandError> {
    let folder = RunFolder::named(runs, name)?;
    match folder.is_free() {
        true => Ok(folder),
        false => Err(DriverError::Exists(folder.path().to_owned()).into()),
    }
}

fn start(config: &Config, settings: Settings, now: Duration) -> Result<Start, CommandError> {
    let ProposersConfig { corpus, compose, .. } = &config.proposers;
    let program = read_asset(&config.program)?;
    // Proposers would find nothing to change, one after the other.
    if config.target == Target::Policy && !is_editable(&program, &settings.evaluation) {
        return Err(CliError::NotEditable(config.program.path().to_owned()).into());
    }
    Ok(Start {
        catalogues: if compose.enabled { catalogues(&compose.blocks, &settings)? } else { Vec::new() },
        settings,
        file_name: config.program.file_name(),
        baseline: read_asset(&config.baseline)?,
        corpus: match corpus {
            None => Vec::new(),
            Some(corpus) => corpus::read(corpus)?,
        },
        program,
        epoch: epoch(now)?,
    })
}

impl Resume {
    pub async fn run(self) -> Result<Exit, CommandError> {
        // Read before anything is written: a run that cannot be resumed stays unchanged.
        let run = self.run.to_resume()?;
        write_log(&run.folder.log())?;
        let mut progress = Progress::start();
        let mut observer = |update: RunUpdate<'_>, search: &Search| progress.saw(update, search);
        let mut driver = Driver::resume(run, self.candidates, &mut observer).await?;
        let outcome = driver.run().await;
        finish(driver, outcome, self.format).await
    }
}

/// Says which torch is whose, where they differ.
fn note_torch(search: &Search) {
    let judge = &search.origin().judge;
    if !judge.judge_torch.is_empty() && judge.judge_torch != judge.torch {
        status(format_args!("note: torch {}", inspect::torch_text(judge)));
    }
}

fn write_log(folder: &Path) -> Result<(), CliError> {
    logging::write_to(folder).map_err(|source| CliError::Log { path: folder.to_owned(), source })
}

/// The catalogues of this target; an error in one of another target is an error, too.
fn catalogues(folder: &Asset, settings: &Settings) -> Result<Vec<String>, CommandError> {
    let mut fitting = Vec::new();
    for text in catalogue::gather(folder)? {
        let fits = Catalogue::parse(&text)?.fits(&settings.evaluation);
        fitting.extend(fits.then_some(text));
    }
    Ok(fitting)
}

async fn finish(
    driver: Driver<'_>,
    outcome: Result<StopReason, DriverError>,
    format: Format,
) -> Result<Exit, CommandError> {
    let path = driver.folder().path().to_owned();
    let search = driver.close().await;
    let reason = match outcome {
        Ok(reason) => reason,
        Err(error) => return Err(ended(error, &path)),
    };
    status(format_args!("stopped: {reason}"));
    report_declined(&path)?;
    format.print(&EvolveJson::of(&search), |terminal| closing(&search, &path, terminal))?;
    let exit = match reason {
        StopReason::Interrupted => Exit::Interrupted,
        StopReason::NoProposer => Exit::NoProposer,
        _ => return Ok(Exit::Success),
    };
    status(format_args!("hint: {}", resume_hint(&path)));
    Ok(exit)
}

/// The error that ended a run, with what is left to do about it.
fn ended(error: DriverError, run: &Path) -> CommandError {
    match &error {
        DriverError::Rejected { evidence, .. } => {
            let evidence = inspect::evidence_text(evidence);
            CommandError::from(error).note(evidence.trim_end())
        }
        _ => CommandError::from(error).note("the run is kept").hint(resume_hint(run)),
    }
}

fn resume_hint(run: &Path) -> String {
    format!("`packevolve resume --run {}` continues it", run.display())
}

/// Names the proposals of the corpus that are missing from the closing table, with the reason.
fn report_declined(path: &Path) -> Result<(), CommandError> {
    for (file, reason) in declined_documents(&RunFolder::new(path.to_owned()))? {
        let reason = reason.to_string();
        status(format_args!("not applied: {file}: {}", reason.lines().next().unwrap_or_default()));
    }
    Ok(())
}

/// The output of `packevolve evolve --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct EvolveJson {
    format: u32,
    best: Option<CandidateId>,
    candidates: Vec<Row>,
    proposers: Vec<Asked>,
    /// The cost of all requests to language models.
    spent: Charge,
    gain: Option<Gain>,
}

impl EvolveJson {
    fn of(search: &Search) -> Self {
        let best = search.best().map(|best| best.candidate);
        let (candidates, proposers) = (inspect::closing(search), inspect::asked(search));
        let spent = search.models().spent();
        Self { format: FORMAT, best, candidates, proposers, spent, gain: Gain::of(search) }
    }
}

fn closing(search: &Search, run: &Path, terminal: &Terminal) -> String {
    let best = search.best();
    let (rows, cases) = (inspect::closing(search), &search.origin().cases);
    let table = inspect::rows_table(&rows, cases, best.map(|best| best.candidate), terminal);
    let spent = match search.models().count() {
        0 => String::new(),
        _ => format!("language models: {}\n", inspect::charge_text(search.models().spent())),
    };
    let table = format!("{table}\n\n{}\n{spent}", inspect::asked_table(&inspect::asked(search), terminal));
    let Some(best) = best else { return table };
    let gain = Gain::of(search).map_or(String::new(), |gain| gain.text(terminal) + "\n");
    let known = search.candidate(best.candidate).expect("BUG: the best is a candidate");
    format!(
        "{table}\n\
         best: candidate {} ({}), combined_score {}{}\n      \
         {}commit {}\n      \
         packevolve show best --run {run}\n      \
         packevolve export --run {run} -o {file}\n      \
         git --git-dir {run}/archive.git show best:{file}\n\n{gain}",
        best.candidate,
        known.name,
        score(best.reported_score()),
        if best.held_out.is_some() { " on held-out windows" } else { "" },
        pruned(search, best),
        known.commit,
        file = search.origin().file_name,
        run = run.display(),
    )
}

fn pruned(search: &Search, best: &Best) -> String {
    let Some(origin) = search.pruning().origin(best.candidate).filter(|origin| origin.candidate != best.candidate)
    else {
        return String::new();
    };
    let size = |best: &Best| search.candidate(best.candidate).map_or(0, |known| known.size);
    format!(
        "pruned from candidate {}, {} to {} tokens; that has {}\n      ",
        origin.candidate,
        size(origin),
        size(best),
        score(origin.reported_score())
    )
}

/// The time that commit times count from. SOURCE_DATE_EPOCH makes equal runs equal to the bit.
fn epoch(now: Duration) -> Result<i64, CliError> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
        Ok(text) => {
            text.parse().ok().filter(|seconds| (0..=LATEST_EPOCH).contains(seconds)).ok_or(CliError::Epoch(text))
        }
    }
}
