//! Fold: a run read back from its journal. Reading never writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::Kept;
use crate::journal::{self, Entry, Reader, TornLine};
use crate::run::folder::{RunError, RunFolder};
use crate::search::Search;
use crate::values::candidate::{CandidateId, CommitId};
use crate::values::event::{CandidateCreated, Declined, Event, Proposer, Selection};

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
    let wanted = wanted.to_owned();
    match fitting {
        [] => {
            let similar = nearest.filter(|name| similarity(name) > 0.75).cloned();
            RunError::NoCandidate { wanted, count: names.len(), similar }
        }
        several => {
            let candidates = several.iter().map(|at| CandidateId(*at as u64)).collect();
            RunError::Ambiguous { wanted, candidates }
        }
    }
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
                search.apply(&entry.event).map_err(|refusal| impossible(&self.path, entry, refusal.to_string()))?;
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
    use crate::journal::Journal;
    use crate::values::event::{RunStarted, StopReason};

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
}
