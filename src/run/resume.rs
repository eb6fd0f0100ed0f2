//! Opens a run to continue it. It writes nothing before it has checked the whole journal; a run that cannot be resumed
//! stays unchanged.

use crate::archive::{Archive, CandidateIds, Programs};
use crate::journal::exchanges::Exchanges;
use crate::journal::{Entry, Journal, Reader, TornLine};
use crate::proposer::llm::history::PromptHistory;
use crate::run::fold::{Fold, Run};
use crate::run::folder::{RunError, RunFolder};
use crate::run::work_time::WorkTime;
use crate::search::Search;
use crate::values::event::Event;

/// A run that this process writes: its journal and its state.
#[derive(Debug)]
pub struct LiveRun {
    pub folder: RunFolder,
    pub journal: Journal<Event>,
    pub exchanges: Exchanges,
    pub search: Search,
    pub programs: Programs,
    pub history: PromptHistory,
    pub work: WorkTime,
    /// The ids of all candidates.
    pub candidates: Vec<CandidateIds>,
    /// The unfinished last line that was dropped.
    pub torn: Option<TornLine>,
}

/// State of a live run beside that of its search.
#[derive(Debug, Default)]
struct Carried {
    history: PromptHistory,
    work: WorkTime,
    candidates: Vec<CandidateIds>,
}

impl Carried {
    fn add(&mut self, entry: &Entry<Event>, search: &Search) {
        self.history.apply(&entry.event, search);
        self.work.add(&entry.event, entry.time);
        let file_name = &search.origin().file_name;
        let (fingerprint, proposal) = match &entry.event {
            Event::RunStarted(started) => (started.seed, None),
            Event::CandidateCreated(created) => (created.fingerprint, Some(created.proposal.0.as_slice())),
            _ => return,
        };
        self.candidates.push(CandidateIds::of(fingerprint.commit, fingerprint.program, file_name, proposal));
    }
}

impl LiveRun {
    /// A run whose journal has its first event. It uses that event as read back, like `resume`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn begun(folder: RunFolder, journal: Journal<Event>) -> Result<Self, RunError> {
        let first = Reader::open(&folder.journal())?.next().expect("BUG: it has its first event")?;
        let (mut fold, mut carried) = (Fold::new(folder.journal()), Carried::default());
        carried.add(&first, fold.step(&first)?);
        Ok(Self::of(journal, fold.finish(folder, None)?, carried))
    }

    /// Reads and checks a run, and locks its journal.
    ///
    /// # Errors
    /// The journal is missing, in use, damaged or of another version, or an exchange that it names is lost.
    pub fn resumed(folder: RunFolder) -> Result<Self, RunError> {
        let exchanges = Exchanges::new(folder.exchanges());
        Self::open(folder, |event| match event {
            // Later prompts may quote it.
            Event::ModelAsked(asked) => Ok(exchanges.read(asked.exchange).map(drop)?),
            _ => Ok(()),
        })
    }

    /// Like [`LiveRun::resumed`], to repair the archive: an exchange may be lost.
    ///
    /// # Errors
    /// The journal is missing, in use, damaged or of another version.
    pub fn for_repair(folder: RunFolder) -> Result<Self, RunError> {
        Self::open(folder, |_| Ok(()))
    }

    fn open(folder: RunFolder, check: impl Fn(&Event) -> Result<(), RunError>) -> Result<Self, RunError> {
        let path = folder.journal();
        if !path.is_file() {
            return Err(RunError::NotARun(folder.path().to_owned()));
        }
        Archive::check_writable(&folder.archive())?;
        let (mut fold, mut carried) = (Fold::new(path.clone()), Carried::default());
        let (journal, torn) = Journal::open(&path, |entry| {
            check(&entry.event)?;
            carried.add(&entry, fold.step(&entry)?);
            Ok::<_, RunError>(())
        })?;
        Ok(Self::of(journal, fold.finish(folder, torn)?, carried))
    }

    fn of(journal: Journal<Event>, run: Run, carried: Carried) -> Self {
        let Run { folder, search, programs, torn, .. } = run;
        let Carried { history, work, candidates } = carried;
        let exchanges = Exchanges::new(folder.exchanges());
        Self { folder, journal, exchanges, search, programs, history, work, candidates, torn }
    }
}
