//! Run: a run's folder, and a run read back from it. Reading never writes.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::candidate::{CandidateId, CommitId};
use crate::event::{CandidateCreated, Declined, Event, Proposer, Selection};
use crate::journal::{self, Entry, JournalError, Reader, TornLine};
use crate::repository::Kept;
use crate::search::Search;

/// Where things are in a run's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

/// Why a run cannot be read.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum RunError {
    #[error("{} is not a run folder: it has no journal.jsonl", .0.display())]
    NotARun(PathBuf),
    #[error(
        "{}: this run ended before it began\nhint: `packevolve evolve --run {}` begins it",
        .0.display(), .0.file_name().unwrap_or_default().display()
    )]
    NeverBegan(PathBuf),
    #[error("{0:?} cannot be the name of a run\nhint: a name is one folder below the folder of runs")]
    BadName(String),
    #[error("there are no runs in {}", .0.display())]
    NoRuns(PathBuf),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{}: the journal is empty\nhint: this run ended before it began; remove its folder", .0.display())]
    Empty(PathBuf),
    #[error("{}: event {seq} cannot be: {reason}", path.display())]
    Impossible { path: PathBuf, seq: u64, reason: String },
    #[error("{} is not of this journal\nhint: remove it, it is not needed", .0.display())]
    OtherIndex(PathBuf),
    #[error("no candidate {wanted:?} in this run: {count} candidates, 0 to {}{hint}", count - 1)]
    NoCandidate { wanted: String, count: usize, hint: String },
    #[error("nothing was measured in this run yet, so there is no best candidate")]
    NoBest,
}

impl RunFolder {
    /// The folder itself.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where a new run of this name belongs.
    ///
    /// # Errors
    /// A name that is no name of a folder in `runs`.
    pub fn named(runs: &Path, name: &str) -> Result<Self, RunError> {
        if matches!(name, "" | "." | "..") || name.contains('/') {
            return Err(RunError::BadName(name.to_owned()));
        }
        Ok(Self(runs.join(name)))
    }

    /// Finds a run: a folder, or a name in the folder of runs.
    ///
    /// # Errors
    /// When neither is a run folder.
    pub fn find(runs: &Path, name: &str) -> Result<Self, RunError> {
        let places = [PathBuf::from(name), runs.join(name)];
        let found = places.iter().find(|path| path.join("journal.jsonl").is_file());
        if let Some(found) = found {
            return Ok(Self(found.clone()));
        }
        match places.into_iter().map(Self).find(Self::ended_before_it_began) {
            Some(folder) => Err(RunError::NeverBegan(folder.0)),
            None => Err(RunError::NotARun(PathBuf::from(name))),
        }
    }

    /// The run that was written to last.
    ///
    /// # Errors
    /// When there is none.
    pub fn newest(runs: &Path) -> Result<Self, RunError> {
        let folders = std::fs::read_dir(runs).into_iter().flatten().flatten().map(|entry| Self(entry.path()));
        let changed = |folder: &Self| folder.journal().metadata().and_then(|data| data.modified()).ok();
        let dated = folders.filter_map(|folder| changed(&folder).map(|time| (time, folder)));
        let newest = dated.max_by_key(|(time, folder)| (*time, folder.0.clone()));
        newest.map(|(_, folder)| folder).ok_or_else(|| RunError::NoRuns(runs.to_owned()))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The journal.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// The archive.
    pub fn archive(&self) -> PathBuf {
        self.0.join("archive.git")
    }

    /// Whoever makes this file ends the run, in good order.
    pub fn stop_file(&self) -> PathBuf {
        self.0.join("stop")
    }

    /// Where things stand in the journal, for readers of a long one.
    pub fn index(&self) -> PathBuf {
        self.0.join("journal.index")
    }

    /// What a long journal comes to, so that `resume` need not read all of it.
    pub fn snapshot(&self) -> PathBuf {
        self.0.join("journal.snapshot")
    }

    /// Whether a process of this machine works on the run: it holds the lock of the journal. Asked of the system's
    /// list, as to try the lock could be in the way of a harness that is just about to take it.
    pub fn is_worked_on(&self) -> bool {
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let Ok(journal) = self.journal().metadata() else { return false };
        let end = format!(":{}", journal.ino());
        locks.lines().any(|lock| lock.split(' ').any(|field| field.ends_with(&end)))
    }

    /// Whether a run can begin here: where nothing is, or what one left that ended before it had begun.
    pub fn is_free(&self) -> bool {
        match std::fs::read_dir(&self.0) {
            Ok(_) if self.journal().exists() => false,
            Ok(mut inside) => self.ended_before_it_began() || inside.next().is_none(),
            Err(_) => std::fs::symlink_metadata(&self.0).is_err(),
        }
    }

    /// Whether a run was to begin here and did not come to its first event.
    fn ended_before_it_began(&self) -> bool {
        !self.journal().exists() && journal::draft(&self.journal()).is_file()
    }

    /// The log for people.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

/// A run as its journal tells it.
#[derive(Debug)]
pub struct Run {
    /// Where it is.
    pub folder: RunFolder,
    /// What happened, in order.
    pub entries: Vec<Entry<Event>>,
    /// The state after that.
    pub search: Search,
    /// An unfinished last line, ignored.
    pub torn: Option<TornLine>,
}

impl Run {
    /// Reads and checks the journal.
    ///
    /// # Errors
    /// No journal, a damaged one, one of a newer format.
    pub fn open(folder: RunFolder) -> Result<Self, RunError> {
        let path = folder.journal();
        if !path.is_file() {
            return Err(RunError::NotARun(folder.0));
        }
        let journal::Read { entries, torn } = journal::read(&path)?;
        let search = fold(&path, &entries)?;
        Ok(Self { folder, entries, search, torn })
    }

    /// Reads and checks the journal up to the first event that cannot be, and says why that cannot.
    ///
    /// # Errors
    /// As [`Run::open`], and a journal whose first event cannot be.
    pub fn open_possible(folder: RunFolder) -> Result<(Self, Option<RunError>), RunError> {
        let path = folder.journal();
        let journal::Read { mut entries, torn } = journal::read(&path)?;
        match fold(&path, &entries) {
            Ok(search) => Ok((Self { folder, entries, search, torn }, None)),
            Err(RunError::Impossible { path, seq, reason }) if seq > 0 => {
                entries.retain(|entry| entry.seq < seq);
                let search = fold(&path, &entries)?;
                let impossible = RunError::Impossible { path, seq, reason };
                Ok((Self { folder, entries, search, torn }, Some(impossible)))
            }
            Err(error) => Err(error),
        }
    }

    /// The candidate that a person means: its number, `best`, `seed`, its NAME or a prefix of its commit.
    ///
    /// # Errors
    /// When there is none, or a prefix or NAME fits several.
    pub fn candidate(&self, wanted: &str) -> Result<CandidateId, RunError> {
        let best = self.search.best().map(|best| best.candidate);
        let names = || Ok(self.search.candidates().map(|(_, known)| (known.name.clone(), known.commit)).collect());
        candidate(wanted, best, self.search.candidates().len(), names)
    }
}

/// The candidate that a person means, of a run with `count` of them; `names` and commits are asked for if they are needed.
pub(crate) fn candidate(
    wanted: &str,
    best: Option<CandidateId>,
    count: usize,
    names: impl FnOnce() -> Result<Vec<(String, CommitId)>, RunError>,
) -> Result<CandidateId, RunError> {
    if wanted == "best" {
        return best.ok_or(RunError::NoBest);
    }
    if wanted == "seed" {
        return Ok(CandidateId::SEED);
    }
    if let Some(number) = wanted.parse().ok().filter(|number| *number < count as u64) {
        return Ok(CandidateId(number));
    }
    let names = names()?;
    let commit_fits = |commit: &CommitId| wanted.len() >= 4 && commit.to_string().starts_with(wanted);
    let fits = |(name, commit): &(String, CommitId)| name == wanted || commit_fits(commit);
    let fitting: Vec<usize> = (0..names.len()).filter(|at| fits(&names[*at])).collect();
    match fitting[..] {
        [one] => Ok(CandidateId(one as u64)),
        _ => Err(no_candidate(wanted, &names, &fitting)),
    }
}

fn no_candidate(wanted: &str, names: &[(String, CommitId)], fitting: &[usize]) -> RunError {
    let similarity = |name: &str| strsim::jaro_winkler(wanted, name);
    let nearest = names.iter().map(|(name, _)| name).max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    let hint = match (fitting, nearest) {
        ([], Some(name)) if similarity(name) > 0.75 => format!("\nhint: did you mean `{name}`?"),
        ([], _) => String::new(),
        (several, _) => {
            let numbers: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("\nhint: several fit, use a number: {}", numbers.join(", "))
        }
    };
    RunError::NoCandidate { wanted: wanted.to_owned(), count: names.len(), hint }
}

/// How long harnesses have been at work on a run: from the first to the last event of each session. What a session did
/// after its last event is not known, and what its clock said against the next one's does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkTime {
    /// Of earlier sessions.
    before: f64,
    /// When this session began, and its last event until now.
    session: Option<(f64, f64)>,
}

impl WorkTime {
    /// Takes in the next event and when it was written.
    pub fn add(&mut self, event: &Event, time: f64) {
        match &mut self.session {
            Some((_, last)) if !matches!(event, Event::RunResumed { .. }) => *last = time,
            _ => *self = Self { before: self.seconds(), session: Some((time, time)) },
        }
    }

    /// All sessions together.
    pub fn seconds(&self) -> f64 {
        self.before + self.session.map_or(0.0, |(began, last)| (last - began).max(0.0))
    }
}

/// Adds the archive's objects that an event names to what is kept.
pub fn keep_named(kept: &mut Kept, event: &Event) {
    match event {
        Event::RunStarted(started) => {
            kept.add_candidate(CandidateId::SEED.0, started.commit);
            started.corpus.iter().for_each(|entry| kept.add_blob(entry.proposal));
            started.catalogue.into_iter().for_each(|catalogue| kept.add_blob(catalogue));
            kept.add_blob(started.baseline);
        }
        Event::CandidateCreated(created) => kept.add_candidate(created.candidate.0, created.commit),
        Event::ProposalDeclined { proposal: Some(proposal), .. } => kept.add_blob(*proposal),
        Event::ModelAsked(asked) => {
            kept.add_blob(asked.request);
            asked.reply.into_iter().for_each(|reply| kept.add_blob(reply));
        }
        _ => {}
    }
}

/// Documents of the corpus of a run that made no candidate, each with the reason. Reads no further than it must: a long
/// run has a long journal, and the corpus comes first.
///
/// # Errors
/// A damaged journal.
pub fn declined_documents(folder: &RunFolder) -> Result<Vec<(String, Declined)>, RunError> {
    let (mut corpus, mut open, mut declined) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut selected = 0;
    for entry in Reader::open(&folder.journal())? {
        match entry?.event {
            Event::RunStarted(started) => corpus = started.corpus,
            Event::Selected { attempt, selection: Selection { proposer: Proposer::Corpus(place), .. } } => {
                selected += 1;
                open.insert(attempt, corpus[place].file.clone());
            }
            Event::CandidateCreated(CandidateCreated { attempt, .. }) => drop(open.remove(&attempt)),
            Event::ProposalDeclined { attempt, reason, .. } => {
                declined.extend(open.remove(&attempt).map(|file| (file, reason)));
            }
            _ => {}
        }
        if selected == corpus.len() && open.is_empty() {
            break;
        }
    }
    Ok(declined)
}

/// The state after `entries`.
///
/// # Errors
/// An order of events that no run writes.
pub fn fold(path: &Path, entries: &[Entry<Event>]) -> Result<Search, RunError> {
    let mut fold = Fold::new(path);
    entries.iter().try_for_each(|entry| fold.step(entry).map(drop))?;
    fold.finish()
}

/// The one way from a journal to a state, an event at a time.
#[derive(Debug)]
pub struct Fold {
    path: PathBuf,
    search: Option<Search>,
}

impl Fold {
    /// Before the first event; errors name `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), search: None }
    }

    /// After events that have given this state.
    pub fn after(path: &Path, search: Option<Search>) -> Self {
        Self { path: path.to_owned(), search }
    }

    /// Takes in the next event; the state after it.
    ///
    /// # Errors
    /// An event that no run writes there.
    pub fn step(&mut self, entry: &Entry<Event>) -> Result<&Search, RunError> {
        match &mut self.search {
            Some(search) => {
                search.check(&entry.event).map_err(|reason| impossible(&self.path, entry, reason))?;
                search.apply(&entry.event);
                Ok(search)
            }
            none => match &entry.event {
                Event::RunStarted(started) => Ok(none.insert(Search::new((**started).clone()))),
                _ => Err(impossible(&self.path, entry, "a run begins with run-started".to_owned())),
            },
        }
    }

    /// The state after all of them.
    ///
    /// # Errors
    /// There was none.
    pub fn finish(self) -> Result<Search, RunError> {
        self.search.ok_or(RunError::Empty(self.path))
    }
}

fn impossible(path: &Path, entry: &Entry<Event>, reason: String) -> RunError {
    RunError::Impossible { path: path.to_owned(), seq: entry.seq, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{RunStarted, StopReason};
    use crate::journal::Journal;

    #[test]
    fn time_at_work_is_that_of_all_sessions_whatever_the_clock_said_between_them() {
        let entry = |(seq, (time, event)): (usize, (f64, Event))| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal.jsonl");
            drop(Journal::create(&path).unwrap().begin(&[event]).unwrap());
            Entry { seq: seq as u64, time, ..journal::read::<Event>(&path).unwrap().entries.remove(0) }
        };
        let resumed = || Event::RunResumed { candidates: 9 };
        let events = [
            (1000.0, Event::RunStarted(Box::new(RunStarted::example()))),
            (1007.0, Event::RunStopped { reason: StopReason::Interrupted }),
            // Set back by a year, then right again.
            (-3e7, resumed()),
            (-3e7 + 2.0, Event::RunStopped { reason: StopReason::Interrupted }),
            (2000.0, resumed()),
            // An older journal, whose clock was set back while it was written.
            (1990.0, Event::RunStopped { reason: StopReason::WallTime }),
        ];
        let entries: Vec<_> = events.into_iter().enumerate().map(entry).collect();
        let mut work = WorkTime::default();
        assert_eq!(work.seconds(), 0.0);
        entries.iter().for_each(|entry| work.add(&entry.event, entry.time));
        assert_eq!(work.seconds(), 9.0);
    }

    #[test]
    fn a_run_begins_where_nothing_is_or_where_one_did_not_begin() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::named(runs.path(), "x").unwrap();
        assert!(folder.is_free());
        std::fs::create_dir(folder.path()).unwrap();
        assert!(folder.is_free());
        std::fs::create_dir(folder.archive()).unwrap();
        assert!(!folder.is_free(), "an archive without its journal is somebody's");
        let draft = Journal::<Event>::create(&folder.journal()).unwrap();
        assert!(folder.is_free());
        let error = RunFolder::find(runs.path(), "x").unwrap_err().to_string();
        assert!(error.ends_with("before it began\nhint: `packevolve evolve --run x` begins it"), "{error}");
        drop(draft.begin(&[]).unwrap());
        assert!(!folder.is_free());
        std::os::unix::fs::symlink("nowhere", runs.path().join("link")).unwrap();
        assert!(!RunFolder::named(runs.path(), "link").unwrap().is_free());
    }

    #[test]
    fn a_new_run_lies_in_the_folder_of_runs_and_nowhere_else() {
        let runs = Path::new("runs");
        for name in ["", ".", "..", "/", "a/b", "../a", "a/"] {
            let error = RunFolder::named(runs, name).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{name:?} cannot be the name")), "{error}");
        }
        assert_eq!(RunFolder::named(runs, "a.b").unwrap().path(), Path::new("runs/a.b"));
    }
}
