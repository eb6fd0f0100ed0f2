//! Driver: carries out what the search decides: asks proposers, applies edits, archives, has judges measure, and writes
//! everything down. Decides nothing itself.
//!
//! Order of every step: objects into the archive, synced; the event into the journal; the search's state. The journal is
//! synced once for all events that came together, before the driver waits for anything and before a ref is moved: from
//! then on they have happened. So whatever moment the process or the machine dies at, `resume` continues.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use packevolve_contract::case::{self, Case};
use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::loads::Loads;
use packevolve_contract::protocol::{EvaluateRequest, Ready, Threshold, WindowSet};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::archive::{ArchiveError, Programs, ProgramsError, Refs, Writer};
use crate::journal::exchanges::{Exchange, ExchangeError, Exchanges};
use crate::journal::{Appended, Journal, JournalError};
use crate::judge::client::{self, JudgeError};
use crate::judge::pool::{Finished, JudgePool};
use crate::proposer::corpus::{self, Document, Planned};
use crate::proposer::draw::{ProposalDraft, ProposeError, Proposers};
use crate::proposer::llm::history::PromptHistory;
use crate::proposer::llm::pool::{ModelPool, ModelReply, ModelRequest};
use crate::proposer::llm::prompt::{PromptError, Prompts};
use crate::proposer::llm::prompt_data::PromptDataError;
use crate::run::derive::{Descent, Novel, new_seed, normal_form, novel};
use crate::run::folder::{RunError, RunFolder};
use crate::run::restore::{RestoreError, finish_archive, open_archive};
use crate::run::resume::LiveRun;
use crate::run::work_time::WorkTime;
use crate::search::{Candidate, Next, Search, Subject, Task};
use crate::values::candidate::CandidateId;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::{
    CandidateCreated, CorpusEntry, Declined, Event, ExchangeRef, Fingerprint, Proposer, RunStarted, Selection,
    StopReason,
};
use crate::values::raw_text::RawText;
use crate::values::settings::Settings;

/// Number of the baseline program where it is not candidate 0; keys its order of rows and items.
const BASELINE_NUMBER: u64 = u64::MAX;

/// What a run is started from, read and checked.
#[derive(Clone, Debug)]
pub struct Start {
    /// The effective settings.
    pub settings: Settings,
    /// File name of the seed program.
    pub file_name: String,
    /// The seed program.
    pub program: String,
    /// The baseline program.
    pub baseline: String,
    /// The corpus.
    pub corpus: Vec<Document>,
    /// The text of the catalogue of building blocks.
    pub catalogue: Option<String>,
    /// Unix time that commit times count from.
    pub epoch: i64,
}

/// Our own machinery broke. The run, if it has begun, can be resumed.
#[derive(Debug, Error)]
pub enum DriverError {
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    #[error("cannot make {path}")]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    PromptData(#[from] PromptDataError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
    #[error("the baseline program was not measured: {0}")]
    Baseline(String),
    #[error("the loads have changed since the run began")]
    OtherLoads(Loads),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("stopped at once, without its running evaluations")]
    Aborted,
}

impl Classify for DriverError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists(_) | Self::OtherLoads(_) => ErrorKind::Input,
            Self::Folder { .. } | Self::Signals(_) => ErrorKind::Failure,
            Self::Baseline(_) => ErrorKind::Rejected,
            Self::Aborted => ErrorKind::Interrupted,
            Self::Run(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Restore(error) => error.kind(),
            Self::Programs(error) => error.kind(),
            Self::Exchange(error) => error.kind(),
            Self::PromptData(error) => error.kind(),
            Self::Propose(error) => error.kind(),
            Self::Prompt(error) => error.kind(),
            Self::Judge(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some("choose another --run NAME, or `packevolve resume`".to_owned()),
            Self::OtherLoads(Loads::Path(path)) => {
                let path = path.display();
                Some(format!("restore {path} to resume, or start a new run: `packevolve evolve --loads {path}`"))
            }
            Self::OtherLoads(Loads::MadeUp { .. }) => {
                Some("this version of packevolve or of its Python makes up other loads: start a new run".to_owned())
            }
            Self::Folder { .. } | Self::Signals(_) | Self::Baseline(_) | Self::Aborted => None,
            Self::Run(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Restore(error) => error.hint(),
            Self::Programs(error) => error.hint(),
            Self::Exchange(error) => error.hint(),
            Self::PromptData(error) => error.hint(),
            Self::Propose(error) => error.hint(),
            Self::Prompt(error) => error.hint(),
            Self::Judge(error) => error.hint(),
        }
    }
}

/// What a live run waits for.
enum DriverEvent {
    Finished(Box<Finished<Task>>),
    ModelReply(Box<ModelReply>),
    Signal,
    TimeIsUp,
    PauseIsOver,
}

/// What a live run lets be seen.
#[derive(Clone, Copy, Debug)]
pub enum RunUpdate<'a> {
    /// This event has just happened.
    Happened(&'a Event),
    /// Nothing more is begun, for this reason; the run ends with the evaluations that are running.
    Stopping(StopReason),
}

/// Sees what a live run does, and the state right after it.
pub type Observer<'a> = dyn FnMut(RunUpdate<'_>, &Search) + 'a;

/// A live run.
pub struct Driver<'a> {
    pub(super) folder: RunFolder,
    pub(super) journal: Journal<Event>,
    pub(super) exchanges: Exchanges,
    pub(super) archive: Writer,
    pub(super) programs: Programs,
    pub(super) proposers: Proposers,
    pub(super) search: Search,
    pub(super) slots: JudgePool<Task>,
    pub(super) signals: mpsc::Receiver<()>,
    pub(super) in_flight: BTreeSet<Task>,
    pub(super) prompts: Prompts,
    pub(super) requests: ModelPool,
    /// Requests that wait for what is under way to cost less than it might.
    pub(super) parked: Vec<ModelRequest>,
    pub(super) is_summing_up: bool,
    /// By place of the model: requests in a row without an answer, and when a pause ends.
    pub(super) failed_in_a_row: Vec<u32>,
    pub(super) paused_until: BTreeMap<usize, Instant>,
    /// Whether the process before this one ended without a word.
    pub(super) died: bool,
    pub(super) history: PromptHistory,
    pub(super) work: WorkTime,
    pub(super) began: Instant,
    /// How long harnesses before this one were at work on the run.
    pub(super) before: Duration,
    pub(super) observer: &'a mut Observer<'a>,
}

impl<'a> Driver<'a> {
    /// Starts judges, and then the run: nothing is written before the judges are ready.
    ///
    /// # Errors
    /// Judges that cannot work, a folder that is there already or cannot be made.
    pub async fn start(folder: RunFolder, start: Start, observer: &'a mut Observer<'a>) -> Result<Self, DriverError> {
        if !folder.is_free() {
            return Err(DriverError::Exists(folder.path().to_owned()));
        }
        let Settings { evaluation, rng_seed, search, llm } = &start.settings;
        // What is wrong with them is told before anything is started.
        Prompts::read(llm.prompts.as_deref())?;
        let cases = case::cases(&evaluation.topology, &evaluation.global_cases, evaluation.random_cases, *rng_seed)
            .expect("BUG: the settings were checked");
        let session = |cpu| client::session(evaluation, &cases, *rng_seed, cpu);
        let slots = JudgePool::open(search.slots, &llm.key_variables(), session).await?;
        // From the first thing that is written on, a signal ends the run in good order.
        let signals = signals()?;
        let in_folder = |source| DriverError::Folder { path: folder.path().to_owned(), source };
        std::fs::create_dir_all(folder.path()).map_err(in_folder)?;
        // From here on nobody else begins this run; what is there is what a crash left of it.
        let draft = Journal::create(&folder.journal())?;
        let started = started(start, cases, slots.ready())?;
        let (journal, _) = draft.begin(&Event::RunStarted(Box::new(started)))?;
        Self::new(LiveRun::begun(folder, journal)?, (slots, signals), observer)
    }

    /// Takes up a run where it was left, whatever ended it.
    ///
    /// # Errors
    /// Judges that cannot work, loads that are not the same any more.
    pub async fn resume(
        run: LiveRun,
        candidates: Option<u64>,
        observer: &'a mut Observer<'a>,
    ) -> Result<Self, DriverError> {
        if let Some(torn) = run.torn {
            tracing::warn!(?torn, "dropped an unfinished last line of the journal");
        }
        let started = run.search.origin();
        let Settings { evaluation, rng_seed, search: settings, llm } = &started.settings;
        let session = |cpu| client::session(evaluation, &started.cases, *rng_seed, cpu);
        let slots = JudgePool::open(settings.slots, &llm.key_variables(), session).await?;
        let signals = signals()?;
        let (now, then) = (&slots.ready().loads_digest, &started.judge.loads_digest);
        if now != then {
            return Err(DriverError::OtherLoads(evaluation.loads.clone()));
        }
        let limit = candidates.unwrap_or_else(|| run.search.candidate_limit());
        let died = run.search.stopped().is_none();
        let mut driver = Self::new(run, (slots, signals), observer)?;
        driver.died = died;
        driver.before = Duration::try_from_secs_f64(driver.work.seconds()).unwrap_or(Duration::MAX);
        // It has been obeyed.
        let _ = std::fs::remove_file(driver.folder.stop_file());
        driver.record(&Event::RunResumed { candidates: limit })?;
        Ok(driver)
    }

    fn new(
        run: LiveRun,
        (slots, signals): (JudgePool<Task>, mpsc::Receiver<()>),
        observer: &'a mut Observer<'a>,
    ) -> Result<Self, DriverError> {
        let LiveRun { folder, journal, exchanges, search, programs, history, work, candidates, .. } = run;
        let archive = open_archive(&folder, &search, &programs, &candidates)?;
        let (in_flight, began) = (BTreeSet::new(), Instant::now());
        let llm = &search.settings().llm;
        Ok(Self {
            prompts: Prompts::read(llm.prompts.as_deref())?,
            requests: ModelPool::open(llm, search.models().spent()),
            parked: Vec::new(),
            is_summing_up: false,
            failed_in_a_row: vec![0; llm.models.len()],
            paused_until: BTreeMap::new(),
            died: false,
            folder,
            journal,
            exchanges,
            archive,
            programs,
            proposers: Proposers::open(search.origin())?,
            search,
            slots,
            signals,
            in_flight,
            history,
            work,
            began,
            before: Duration::ZERO,
            observer,
        })
    }

    /// Runs until there is nothing more to do, and says why it ended.
    ///
    /// # Errors
    /// Our own machinery broke; what was written stays and can be resumed.
    pub async fn run(&mut self) -> Result<StopReason, DriverError> {
        let mut stopping = None;
        self.leave_out_broken_models()?;
        for (attempt, selection) in self.search.open_attempts().to_vec() {
            self.attempt(attempt, &selection)?;
        }
        self.account_for_summary()?;
        self.died = false;
        loop {
            if stopping.is_none() && self.folder.stop_file().exists() {
                stopping = self.stop(StopReason::StopFile)?;
            }
            if stopping.is_none() && self.time_left().is_zero() {
                stopping = self.stop(StopReason::WallTime)?;
            }
            if stopping.is_none() {
                self.summarise()?;
                stopping = self.fill_slots()?;
            }
            if let (Some(reason), true) = (stopping, self.in_flight.is_empty()) {
                self.abandon()?;
                self.record(&Event::RunStopped { reason })?;
                self.journal.sync()?;
                finish_archive(&mut self.archive, &self.search, &self.programs)?;
                return Ok(reason);
            }
            self.journal.sync()?;
            match self.next_event(stopping.is_none()).await {
                DriverEvent::Finished(done) => self.finish(*done)?,
                DriverEvent::ModelReply(answered) => self.answered(*answered)?,
                DriverEvent::Signal if stopping == Some(StopReason::Interrupted) => return Err(DriverError::Aborted),
                DriverEvent::Signal => stopping = self.stop(StopReason::Interrupted)?,
                DriverEvent::TimeIsUp => stopping = self.stop(StopReason::WallTime)?,
                DriverEvent::PauseIsOver => self.wake()?,
            }
        }
    }

    /// Waits for the next thing to happen; once the run is about to stop, only evaluations and signals do.
    async fn next_event(&mut self, is_going_on: bool) -> DriverEvent {
        let time_left = self.time_left();
        let pause =
            self.paused_until.values().min().map_or(Duration::MAX, |until| until.duration_since(Instant::now()));
        tokio::select! {
            done = self.slots.done() => DriverEvent::Finished(Box::new(done)),
            Some(()) = self.signals.recv() => DriverEvent::Signal,
            answered = self.requests.done(), if is_going_on => DriverEvent::ModelReply(Box::new(answered)),
            () = sleep(time_left), if is_going_on => DriverEvent::TimeIsUp,
            () = sleep(pause), if is_going_on => DriverEvent::PauseIsOver,
        }
    }

    /// The state so far.
    pub fn search(&self) -> &Search {
        &self.search
    }

    /// The state at the end; judges, journal and archive are let go.
    pub fn into_search(self) -> Search {
        self.search
    }

    /// Where the run lies.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Nothing more is begun from here on, and nothing more is waited for but evaluations.
    fn stop(&mut self, reason: StopReason) -> Result<Option<StopReason>, DriverError> {
        (self.observer)(RunUpdate::Stopping(reason), &self.search);
        self.abandon()?;
        Ok(Some(reason))
    }

    /// Gives every free slot something to measure, and models something to propose; the reason to stop, if there is one.
    fn fill_slots(&mut self) -> Result<Option<StopReason>, DriverError> {
        loop {
            while let Some(task) = self.next_task() {
                self.dispatch(task)?;
            }
            if let Some(reason) = self.used_up() {
                // What was paid for is measured first.
                let is_settled = self.in_flight.is_empty() && self.search.tasks().next().is_none();
                return Ok(is_settled.then_some(reason));
            }
            match self.search.next() {
                Next::Attempt { attempt, selection } if self.slots.has_free() || model(&selection).is_some() => {
                    self.record(&Event::Selected { attempt, selection: selection.clone() })?;
                    self.attempt(attempt, &selection)?;
                }
                Next::Attempt { .. } | Next::Wait => return Ok(None),
                Next::Stop(reason) => return Ok(Some(reason)),
            }
        }
    }

    /// What to measure next, if a slot is free.
    fn next_task(&self) -> Option<Task> {
        self.search.tasks().find(|task| !self.in_flight.contains(task)).filter(|_| self.slots.has_free())
    }

    /// Carries out a selection: a candidate comes of it, or the reason why none does; of a model's later.
    fn attempt(&mut self, attempt: u64, selection: &Selection) -> Result<(), DriverError> {
        if let Some(model) = model(selection) {
            return self.ask(attempt, model, selection);
        }
        let event = match self.drawn(attempt, selection)? {
            Some(drawn) => self.make_candidate(attempt, selection, &drawn)?,
            None => Event::ProposalDeclined { attempt, proposal: None, reason: Declined::NothingNew },
        };
        self.record(&event)
    }

    /// What the chosen proposer proposes.
    fn drawn(&self, attempt: u64, selection: &Selection) -> Result<Option<ProposalDraft>, DriverError> {
        let program = |candidate| self.program(candidate);
        Ok(self.proposers.draw(&self.search, (attempt, selection), program)?)
    }

    pub(super) fn make_candidate(
        &mut self,
        attempt: u64,
        selection: &Selection,
        drawn: &ProposalDraft,
    ) -> Result<Event, DriverError> {
        let ProposalDraft { document, operator } = drawn;
        let parent = self.program(selection.parent)?;
        let Novel { derived, normalised, size } = match novel(&self.search, &parent, document) {
            Ok(novel) => novel,
            Err(reason) => {
                let proposal = Some(RawText(document.clone()));
                return Ok(Event::ProposalDeclined { attempt, proposal, reason });
            }
        };
        let candidate = CandidateId(self.search.candidates().len() as u64);
        let parents: Vec<_> = selection.parents().collect();
        let descent = Descent { candidate, parents: &parents, proposer: Some(selection.proposer) };
        let new = descent.new_candidate(&self.search, &derived.proposal, &derived.program, document);
        let ids = new.ids()?;
        self.archive.add(ids.commit, Some(new));
        self.programs.remember(candidate, &derived.program);
        Ok(Event::CandidateCreated(CandidateCreated {
            candidate,
            attempt,
            name: derived.proposal.name,
            parents,
            proposal: RawText(document.clone()),
            fingerprint: Fingerprint { commit: ids.commit, program: ids.program, normalised, size },
            operator: *operator,
        }))
    }

    fn dispatch(&mut self, task: Task) -> Result<(), DriverError> {
        let request = self.request(task)?;
        self.in_flight.insert(task);
        self.slots.dispatch(task, request);
        Ok(())
    }

    fn request(&self, task: Task) -> Result<EvaluateRequest, DriverError> {
        let started = self.search.origin();
        let evaluation = &started.settings.evaluation;
        let (candidate, program) = match task.subject {
            Subject::Baseline if self.search.baseline_is_seed() => (CandidateId::SEED.0, started.baseline.clone()),
            Subject::Baseline => (BASELINE_NUMBER, started.baseline.clone()),
            Subject::Candidate(candidate) => (candidate.0, self.program(candidate)?),
        };
        let known = match task.subject {
            Subject::Baseline => None,
            Subject::Candidate(candidate) => Some(self.known(candidate)),
        };
        // All others are compared with the program that the search starts from, on the windows that both have seen.
        let budget = evaluation.budget_seconds.filter(|_| known.is_some_and(|known| known.proposer.is_some()));
        let threshold = known.filter(|_| task.windows == WindowSet::Search).and_then(|known| known.outclassed_below);
        let outclassed = threshold.zip(self.search.baseline()).map(|(score, baseline)| Threshold {
            score,
            baseline: baseline.clone(),
            weights: evaluation.weights,
        });
        Ok(EvaluateRequest {
            candidate,
            file_name: started.file_name.clone(),
            program,
            windows: task.windows,
            budget_seconds: budget,
            limits: known.map(|_| evaluation.limits.times(self.search.baseline())),
            outclassed,
            rebalance: task.windows == WindowSet::HeldOut,
        })
    }

    fn finish(&mut self, done: Finished<Task>) -> Result<(), DriverError> {
        let Finished { task, evaluation } = done;
        self.in_flight.remove(&task);
        let event = match (task.subject, task.windows, evaluation?) {
            (Subject::Candidate(candidate), WindowSet::Search, evaluation) => {
                Event::CandidateEvaluated { candidate, evaluation }
            }
            (Subject::Candidate(candidate), WindowSet::HeldOut, evaluation) => {
                self.search.ruling(candidate, evaluation)
            }
            (Subject::Baseline, WindowSet::Search, Evaluation::Measured { measurement }) => {
                Event::BaselineEvaluated { measurement }
            }
            (Subject::Baseline, WindowSet::HeldOut, Evaluation::Measured { measurement }) => {
                Event::BaselineHeldOut { measurement }
            }
            (Subject::Baseline, _, Evaluation::Rejected { rejection, .. }) => {
                return Err(DriverError::Baseline(format!("it {rejection}")));
            }
            (Subject::Baseline, _, Evaluation::Outclassed { .. }) => {
                unreachable!("BUG: the baseline has no threshold")
            }
        };
        self.record(&event)
    }

    /// Makes an event happen.
    pub(super) fn record(&mut self, event: &Event) -> Result<(), DriverError> {
        let Appended { offset, time } = self.journal.append(event)?;
        self.search.apply(event).unwrap_or_else(|refusal| panic!("BUG: {refusal}"));
        self.history.apply(event, &self.search);
        self.work.add(event, time);
        if let Event::CandidateCreated(created) = event {
            self.programs.add(created, offset);
        }
        (self.observer)(RunUpdate::Happened(event), &self.search);
        if self.archive.is_due() {
            self.archive.begin(Refs::of(&self.search));
        }
        Ok(())
    }

    pub(super) fn known(&self, candidate: CandidateId) -> &Candidate {
        self.search.candidate(candidate).expect("BUG: selections name known candidates")
    }

    pub(super) fn program(&self, candidate: CandidateId) -> Result<String, ProgramsError> {
        Ok(self.programs.program(candidate)?.to_string())
    }

    /// Writes a request and what came back; it is on the disk when this returns.
    pub(super) fn exchange(&mut self, request: &[u8], reply: Option<&[u8]>) -> Result<ExchangeRef, ExchangeError> {
        let (request, reply) = (RawText(request.to_owned()), reply.map(|reply| RawText(reply.to_owned())));
        self.exchanges.append(&Exchange { request, reply })
    }

    fn time_left(&self) -> Duration {
        let limit = self.search.settings().search.wall_seconds;
        let used = self.before.saturating_add(self.began.elapsed());
        limit.map_or(Duration::MAX, |limit| Duration::from_secs_f64(limit).saturating_sub(used))
    }
}

/// Waits; for ever if there is no limit.
async fn sleep(time: Duration) {
    // tokio's timer cannot hold the end of time.
    tokio::time::sleep(time.min(Duration::from_secs(1 << 25))).await;
}

/// The first event of a run.
fn started(start: Start, cases: Vec<Case>, ready: &Ready) -> Result<RunStarted, ArchiveError> {
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
        catalogue: start.catalogue,
        judge: ready.clone(),
        file_name: start.file_name,
        settings: start.settings,
    })
}

/// Ctrl-C and the termination signal, one message each time.
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

/// The model that is asked, if it is one.
pub(super) fn model(selection: &Selection) -> Option<usize> {
    match selection.proposer {
        Proposer::Model(model) => Some(model),
        _ => None,
    }
}
