//! Start: how a live run starts, and continues after its process ended.

use std::time::{Duration, Instant};

use packevolve_contract::case::Case;
use packevolve_contract::protocol::Ready;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::archive::ArchiveError;
use crate::journal::Journal;
use crate::judge::client;
use crate::proposer::corpus::{self, Document, Planned};
use crate::proposer::draw::Proposers;
use crate::proposer::llm::prompt::Prompts;
use crate::run::derive::{new_seed, normal_form};
use crate::run::driver::error::DriverError;
use crate::run::driver::models::Models;
use crate::run::driver::record::{Observer, Record};
use crate::run::driver::run::Driver;
use crate::run::driver::slots::Slots;
use crate::run::folder::RunFolder;
use crate::run::inbox::Inbox;
use crate::run::now::Now;
use crate::run::resume::LiveRun;
use crate::values::event::{CorpusEntry, Event, Fingerprint, RunStarted};
use crate::values::settings::Settings;

/// The input of a run, read and checked.
#[derive(Clone, Debug)]
pub struct Start {
    pub settings: Settings,
    /// File name of the seed program.
    pub file_name: String,
    pub program: String,
    pub baseline: String,
    pub corpus: Vec<Document>,
    /// Of building blocks.
    pub catalogues: Vec<String>,
    /// The Unix time from which commit times count.
    pub epoch: i64,
}

/// The running processes and handlers that a live run needs.
struct Machinery {
    slots: Slots,
    signals: mpsc::Receiver<()>,
}

impl Machinery {
    /// Starts the judges. From here on a signal ends the run in good order, and before the judges are ready it ends what
    /// was started.
    async fn start(settings: &Settings, cases: &[Case]) -> Result<Self, DriverError> {
        let session = client::session(&settings.evaluation, cases, settings.rng_seed, None)?;
        let mut signals = signals()?;
        let slots = Slots::start(settings, &session, &mut signals).await?;
        Ok(Self { slots, signals })
    }
}

impl<'a> Driver<'a> {
    /// Starts the judges, then the run. Writes nothing before the judges are ready.
    ///
    /// # Errors
    /// A judge does not start, the folder exists already or cannot be made.
    pub async fn start(folder: RunFolder, start: Start, observer: &'a mut Observer<'a>) -> Result<Self, DriverError> {
        if !folder.is_free() {
            return Err(DriverError::Exists(folder.path().to_owned()));
        }
        let Settings { evaluation, rng_seed, llm, .. } = &start.settings;
        // Reports broken prompts before anything starts.
        Prompts::read(llm.prompts.as_deref())?;
        let cases = evaluation.cases(*rng_seed).expect("BUG: the settings were checked");
        let machinery = Machinery::start(&start.settings, &cases).await?;
        let in_folder = |source| DriverError::Folder { path: folder.path().to_owned(), source };
        std::fs::create_dir_all(folder.path()).map_err(in_folder)?;
        // The journal's lock keeps other processes out; other files in the folder are left from a crash.
        let draft = Journal::create(&folder.journal())?;
        let origin = origin(start, cases, machinery.slots.first())?;
        let (journal, _) = draft.begin(&Event::RunStarted(Box::new(origin)))?;
        let mut driver = Self::new(LiveRun::begun(folder, journal)?, machinery, false, observer)?;
        driver.record.show_loads();
        Ok(driver)
    }

    /// Continues a run, no matter how it ended, with another limit of `candidates` if one is given.
    ///
    /// # Errors
    /// A judge does not start, or the loads have changed.
    pub async fn resume(
        run: LiveRun,
        candidates: Option<u64>,
        observer: &'a mut Observer<'a>,
    ) -> Result<Self, DriverError> {
        if let Some(torn) = run.torn {
            tracing::warn!(?torn, "dropped an unfinished last line of the journal");
        }
        let origin = run.search.origin();
        let machinery = Machinery::start(&origin.settings, &origin.cases).await?;
        if machinery.slots.first().loads_digest != origin.judge.loads_digest {
            machinery.slots.close().await;
            return Err(DriverError::OtherLoads(origin.settings.evaluation.loads.clone()));
        }
        let candidates = candidates.unwrap_or_else(|| run.search.candidate_limit());
        let died = run.search.stopped().is_none();
        let mut driver = Self::new(run, machinery, died, observer)?;
        // The stop file of the last time has had its effect.
        let _ = std::fs::remove_file(driver.folder().stop_file());
        driver.record.add(&Event::RunResumed { candidates })?;
        Ok(driver)
    }

    /// `died`: the process before this one ended without the event of an orderly end.
    fn new(
        run: LiveRun,
        machinery: Machinery,
        died: bool,
        observer: &'a mut Observer<'a>,
    ) -> Result<Self, DriverError> {
        let Machinery { slots, signals } = machinery;
        let record = Record::open(run, observer)?;
        Ok(Self {
            models: Models::open(&record.search, died)?,
            proposers: Proposers::open(record.search.origin())?,
            inbox: Inbox::of(&record.folder),
            now: Now::of(&record.folder),
            slots,
            signals,
            began: Instant::now(),
            before: Duration::try_from_secs_f64(record.work.seconds()).unwrap_or(Duration::MAX),
            record,
        })
    }
}

/// The first event of a run.
fn origin(start: Start, cases: Vec<Case>, ready: &Ready) -> Result<RunStarted, ArchiveError> {
    let entry =
        |Planned { document, parent }| CorpusEntry { file: document.file, document: document.bytes.into(), parent };
    let corpus = corpus::plan(&start.program, start.corpus).into_iter().map(entry).collect();
    let (normalised, size) = normal_form(&start.program);
    let seed = new_seed(&start.program, &start.file_name, start.epoch).ids()?;
    Ok(RunStarted {
        packevolve: env!("CARGO_PKG_VERSION").to_owned(),
        epoch: start.epoch,
        seed: Fingerprint { commit: seed.commit, program: seed.program, normalised, size },
        program: start.program,
        baseline: start.baseline,
        cases,
        corpus,
        catalogues: start.catalogues,
        judge: ready.clone(),
        file_name: start.file_name,
        settings: start.settings,
    })
}

/// One message for each Ctrl-C or termination signal.
fn signals() -> Result<mpsc::Receiver<()>, DriverError> {
    let mut interrupts = signal(SignalKind::interrupt()).map_err(DriverError::Signals)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(DriverError::Signals)?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                signal = interrupts.recv() => signal,
                signal = terminations.recv() => signal,
            };
            if signal.is_none() || sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
