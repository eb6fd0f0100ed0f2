//! Contest: runs that continue from one start, each with other proposers.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context;
use packevolve::config::{Asset, Config};
use packevolve::journal::{Journal, read};
use packevolve::proposer::{catalogue, corpus};
use packevolve::run::driver::{Driver, RunUpdate, Start};
use packevolve::run::folder::RunFolder;
use packevolve::run::resume::LiveRun;
use packevolve::search::Search;
use packevolve::search::best::Best;
use packevolve::values::event::Event;
use packevolve::values::settings::Parts;
use tempfile::TempDir;

/// Judging its program takes longer than judging all others, and none of the best comes from it.
const LEFT_OUT: &str = "003_batched_refinement_packing.txt";
/// No run gets there.
const NO_LIMIT: u64 = 1 << 40;

/// Who proposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    Compose,
    Cross,
    Mutate,
    Together,
}

impl Contestant {
    pub const ALL: [Self; 4] = [Self::Compose, Self::Cross, Self::Mutate, Self::Together];

    fn parts(self) -> Parts {
        let is = |other| self == other || self == Self::Together;
        Parts { compose: is(Self::Compose), cross: is(Self::Cross), mutate: is(Self::Mutate) }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compose => "compose alone",
            Self::Cross => "cross alone",
            Self::Mutate => "mutate alone",
            Self::Together => "together",
        })
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Judge seconds, and the score of the best from then on.
    pub best: Vec<(f64, f64)>,
    /// Candidates.
    pub judged: usize,
}

impl Outcome {
    /// The score of the best after that many judge seconds.
    pub fn at(&self, seconds: f64) -> f64 {
        let reached = self.best.iter().take_while(|(at, _)| *at <= seconds);
        reached.last().map_or(f64::NEG_INFINITY, |(_, score)| *score)
    }

    pub fn last(&self) -> f64 {
        self.at(f64::INFINITY)
    }
}

/// The start, and how far to go.
pub struct Course {
    folder: TempDir,
    judge_seconds: f64,
}

impl Course {
    /// Makes the start.
    pub async fn open(config: &Path, judge_seconds: f64) -> anyhow::Result<Self> {
        let course = Self { folder: TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?, judge_seconds };
        let mut observer = |_: RunUpdate<'_>, _: &Search| {};
        let start = beginning(config)?;
        eprintln!("the start: the seed program and {} documents of the corpus", start.corpus.len());
        let mut driver = Driver::start(course.run_folder("start"), start, &mut observer).await?;
        driver.run().await?;
        Ok(course)
    }

    fn run_folder(&self, name: &str) -> RunFolder {
        RunFolder::new(self.folder.path().join(name))
    }

    /// Continues from the start.
    pub async fn run(&self, contestant: Contestant, seed: u64) -> anyhow::Result<Outcome> {
        let folder = self.run_folder(&format!("{contestant:?}-{seed}"));
        let start = self.run_folder("start");
        fs::create_dir_all(folder.path())?;
        continue_with(&start.journal(), &folder.journal(), contestant.parts(), seed)?;
        let stop = folder.stop_file();
        let (mut seconds, mut best) = (0.0, Vec::new());
        let mut observer = |news: RunUpdate<'_>, search: &Search| {
            let RunUpdate::Happened(event) = news else { return };
            seconds += judged_for(event);
            best.extend(search.best().map(|best| (seconds, Best::reported_score(best))));
            if seconds >= self.judge_seconds {
                fs::write(&stop, "").expect("the folder of the run is there");
            }
        };
        let mut driver = Driver::resume(LiveRun::resumed(folder.clone())?, Some(NO_LIMIT), &mut observer).await?;
        let before = driver.search().candidates().len();
        driver.run().await?;
        let judged = driver.search().candidates().len() - before;
        drop(driver);
        fs::remove_dir_all(folder.path())?;
        best.dedup_by_key(|(_, score)| *score);
        Ok(Outcome { best, judged })
    }
}

/// Everything as in a run of these settings, up to where the corpus has been judged.
fn beginning(file: &Path) -> anyhow::Result<Start> {
    let config = Config::read(Some(file))?;
    let mut corpus = config.proposers.corpus.as_ref().map_or(Ok(Vec::new()), corpus::read)?;
    corpus.retain(|document| document.file != LEFT_OUT);
    let mut settings = config.settings()?;
    settings.search.candidates = 1 + corpus.len() as u64;
    settings.search.prune_attempts = 0;
    let text =
        |asset: &Asset| anyhow::Ok(String::from_utf8(asset.read().with_context(|| asset.to_string())?.into_owned())?);
    let (program, baseline) = (text(&config.program)?, text(&config.baseline)?);
    let compose = &config.proposers.compose;
    let catalogues = if compose.enabled { catalogue::gather(&compose.blocks)? } else { Vec::new() };
    let file_name = config.program.file_name();
    Ok(Start { settings, file_name, program, baseline, corpus, catalogues, epoch: 0 })
}

/// The journal of a run that began as another one did, and continues with these proposers.
fn continue_with(from: &Path, to: &Path, parts: Parts, seed: u64) -> anyhow::Result<()> {
    let journal = Journal::create(to)?;
    let mut events: Vec<Event> = read::<Event>(from)?.entries.into_iter().map(|entry| entry.event).collect();
    events.retain(|event| !matches!(event, Event::RunStopped { .. }));
    for event in &mut events {
        if let Event::RunStarted(started) = event {
            started.settings.rng_seed = seed;
            started.settings.search.proposers = parts;
        }
    }
    let (first, rest) = events.split_first().context("the run has no first event")?;
    let (mut journal, _) = journal.begin(first)?;
    rest.iter().try_for_each(|event| journal.append(event).map(drop))?;
    Ok(journal.sync()?)
}

/// Seconds of judging candidates that an event tells of.
fn judged_for(event: &Event) -> f64 {
    let measurement = match event {
        Event::CandidateEvaluated { evaluation, .. } => evaluation.measurement(),
        Event::DuelEnded { duel, .. } => duel.contender.measurement().or(duel.best.measurement()),
        _ => None,
    };
    measurement.map_or(0.0, |measurement| measurement.evaluation_seconds)
}
