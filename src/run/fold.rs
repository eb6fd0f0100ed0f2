//! Folds the events of a journal into a run. Every command that reads a run uses this fold, and the driver continues
//! from its end. It never writes.

use std::path::PathBuf;

use packevolve_contract::case::Case;
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::Evaluation;

use crate::archive::{Programs, ProgramsError};
use crate::journal::{self, Entry, Events, JournalError, TornLine, read_each};
use crate::run::folder::{RunError, RunFolder};
use crate::search::Search;
use crate::search::best::OpenDuel;
use crate::values::candidate::{CandidateId, CommitId};
use crate::values::event::{CandidateCreated, Event, RunStarted, Selection};
use crate::values::settings::LARGEST_CALL;

/// A run. It reads events again on demand, because a long run has more of them than memory may hold.
#[derive(Debug)]
pub struct Run {
    pub folder: RunFolder,
    /// The state after all events.
    pub search: Search,
    /// Its programs and proposals.
    pub programs: Programs,
    pub events: u64,
    /// An unfinished last line, ignored.
    pub torn: Option<TornLine>,
    lines: Lines,
}

/// Offsets of the lines that are read one by one.
#[derive(Clone, Debug, Default)]
struct Lines {
    /// The decision behind each candidate except the seed program.
    selected: Vec<u64>,
    /// The evaluation of each candidate; for a seed program that is the baseline, the baseline's.
    judged: Vec<Option<u64>>,
    /// The duels of contenders, in order: start and end.
    duels: Vec<(CandidateId, u64, u64)>,
    /// The start of the latest duel.
    duel_started: u64,
    /// Decisions of open attempts.
    open: Vec<(u64, u64)>,
}

#[derive(Debug)]
pub struct Fold {
    journal: PathBuf,
    state: Option<(Search, Programs, Lines)>,
    events: u64,
}

impl Fold {
    /// Before the first event of the journal at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { journal: path, state: None, events: 0 }
    }

    /// Applies the next event and returns the state after it.
    ///
    /// # Errors
    /// The event contradicts the events before it.
    pub fn step(&mut self, entry: &Entry<Event>) -> Result<&Search, RunError> {
        let Self { journal, state, events } = self;
        let impossible = |reason| RunError::Impossible { path: journal.clone(), seq: entry.seq, reason };
        let search = match state {
            Some((search, programs, lines)) => {
                advance(search, programs, lines, entry).map_err(impossible)?;
                search
            }
            none => match &entry.event {
                Event::RunStarted(started) => {
                    if let Some(absurd) = absurdity(started) {
                        return Err(impossible(format!("these settings make no run: {absurd}")));
                    }
                    let programs = Programs::new(journal, started)?;
                    let lines = Lines { judged: vec![None], ..Lines::default() };
                    &none.insert((Search::new((**started).clone()), programs, lines)).0
                }
                _ => return Err(impossible("a run begins with run-started".to_owned())),
            },
        };
        *events += 1;
        Ok(search)
    }

    /// The state after the latest event, of which there is at least one.
    pub fn state(&self) -> (&Search, &Programs) {
        let (search, programs, _) = self.state.as_ref().expect("BUG: asked before the first event");
        (search, programs)
    }

    /// # Errors
    /// The journal has no events.
    pub fn finish(self, folder: RunFolder, torn: Option<TornLine>) -> Result<Run, RunError> {
        let (search, programs, lines) = self.state.ok_or(RunError::Empty(self.journal))?;
        Ok(Run { folder, search, programs, events: self.events, torn, lines })
    }
}

/// Applies an event that is not the first; the reason if it contradicts the events before it.
fn advance(
    search: &mut Search,
    programs: &mut Programs,
    lines: &mut Lines,
    entry: &Entry<Event>,
) -> Result<(), String> {
    search.apply(&entry.event).map_err(|refusal| refusal.to_string())?;
    lines.add(entry, search);
    if let Event::CandidateCreated(created) = &entry.event {
        programs.add(created, entry.offset);
    }
    Ok(())
}

/// Why no harness wrote this first event, if it did not.
fn absurdity(started: &RunStarted) -> Option<String> {
    let large = |case: &&Case| case.rows.saturating_mul(case.items) > LARGEST_CALL;
    let case = started.cases.iter().find(large).map(|case| format!("a case of {} rows, {case}", case.rows));
    started.settings.absurdity().or(case)
}

impl Lines {
    fn add(&mut self, entry: &Entry<Event>, search: &Search) {
        match &entry.event {
            Event::Selected { attempt, .. } => self.open.push((*attempt, entry.offset)),
            Event::ProposalDeclined { attempt, .. } => drop(self.close(*attempt)),
            Event::CandidateCreated(CandidateCreated { attempt, .. }) => {
                let selected = self.close(*attempt);
                self.selected.push(selected);
                self.judged.push(None);
            }
            Event::CandidateEvaluated { candidate, .. } => self.judged[candidate.index()] = Some(entry.offset),
            Event::BaselineEvaluated { .. } if search.baseline_is_seed() => self.judged[0] = Some(entry.offset),
            Event::DuelStarted { .. } => self.duel_started = entry.offset,
            Event::DuelEnded { contender, .. } => self.duels.push((*contender, self.duel_started, entry.offset)),
            _ => {}
        }
    }

    fn close(&mut self, attempt: u64) -> u64 {
        let at = self.open.iter().position(|(open, _)| *open == attempt);
        self.open.swap_remove(at.expect("BUG: the search checked that the attempt is open")).1
    }
}

impl Run {
    /// Reads and checks a run; it may be live.
    ///
    /// # Errors
    /// The journal is missing, damaged or of another version.
    pub fn open(folder: RunFolder) -> Result<Self, RunError> {
        Self::read(folder, |_, _| ())
    }

    /// Like [`Run::open`], and calls `each` for every event with the state after it.
    ///
    /// # Errors
    /// See [`Run::open`].
    pub fn read(folder: RunFolder, mut each: impl FnMut(&Entry<Event>, &Search)) -> Result<Self, RunError> {
        let mut fold = Fold::new(existing(&folder)?);
        let torn = read_each(&folder.journal(), |entry| -> Result<(), RunError> {
            each(&entry, fold.step(&entry)?);
            Ok(())
        })?;
        fold.finish(folder, torn)
    }

    /// Reads a run up to the first event that contradicts those before it, and returns the contradiction.
    ///
    /// # Errors
    /// See [`Run::open`]; also if the first event is impossible.
    pub fn open_possible(folder: RunFolder) -> Result<(Self, Option<RunError>), RunError> {
        let mut fold = Fold::new(existing(&folder)?);
        let mut impossible = None;
        let torn = read_each(&folder.journal(), |entry| -> Result<(), RunError> {
            if impossible.is_some() {
                return Ok(());
            }
            match fold.step(&entry) {
                Err(error @ RunError::Impossible { .. }) if entry.seq > 0 => impossible = Some(error),
                stepped => drop(stepped?),
            }
            Ok(())
        })?;
        Ok((fold.finish(folder, torn)?, impossible))
    }

    /// Applies the next event of a journal that is being written.
    ///
    /// # Errors
    /// The event contradicts the events before it.
    pub fn step(&mut self, entry: &Entry<Event>) -> Result<(), RunError> {
        let impossible = |reason| RunError::Impossible { path: self.folder.journal(), seq: entry.seq, reason };
        advance(&mut self.search, &mut self.programs, &mut self.lines, entry).map_err(impossible)?;
        self.events += 1;
        Ok(())
    }

    /// All events, in order.
    ///
    /// # Errors
    /// The journal can no longer be read.
    pub fn entries(&self) -> Result<Vec<Entry<Event>>, JournalError> {
        Ok(journal::read(&self.folder.journal())?.entries)
    }

    /// The evaluation of a candidate, if there is one. That of the seed program may be the baseline's.
    ///
    /// # Errors
    /// The journal can no longer be read.
    pub fn evaluation(&self, candidate: CandidateId) -> Result<Option<Evaluation>, JournalError> {
        let Some(offset) = self.lines.judged[candidate.index()] else { return Ok(None) };
        Ok(match self.lines()?.at(offset)? {
            Event::CandidateEvaluated { evaluation, .. } => Some(evaluation),
            Event::BaselineEvaluated { measurement, inconsistencies, .. } if inconsistencies.is_empty() => {
                Some(Evaluation::Measured { measurement })
            }
            Event::BaselineEvaluated { measurement, inconsistencies, .. } => {
                Some(Evaluation::Inconsistent { inconsistencies, measurement })
            }
            _ => None,
        })
    }

    /// The duels of a candidate as a contender, in order.
    ///
    /// # Errors
    /// The journal can no longer be read.
    pub fn duels(&self, candidate: CandidateId) -> Result<Vec<(OpenDuel, Duel)>, JournalError> {
        let own = self.lines.duels.iter().filter(|(contender, ..)| *contender == candidate);
        let mut duels = Vec::new();
        for (_, start, end) in own {
            let (started, ended) = (self.lines()?.at(*start)?, self.lines()?.at(*end)?);
            if let (Event::DuelStarted { contender, best, seed }, Event::DuelEnded { duel, .. }) = (started, ended) {
                duels.push((OpenDuel { contender, best, seed }, *duel));
            }
        }
        Ok(duels)
    }

    /// The decision behind a candidate; `None` for the seed program.
    ///
    /// # Errors
    /// The journal can no longer be read.
    pub fn selection(&self, candidate: CandidateId) -> Result<Option<Selection>, JournalError> {
        let Some(at) = candidate.index().checked_sub(1) else { return Ok(None) };
        match self.lines()?.at(self.lines.selected[at])? {
            Event::Selected { selection, .. } => Ok(Some(selection)),
            _ => Ok(None),
        }
    }

    fn lines(&self) -> Result<Events<Event>, JournalError> {
        Events::open(&self.folder.journal())
    }

    /// The programs of these candidates.
    ///
    /// # Errors
    /// A program cannot be derived.
    pub fn programs_of(&self, candidates: &[CandidateId]) -> Result<Vec<String>, ProgramsError> {
        candidates.iter().map(|candidate| Ok(self.programs.program(*candidate)?.to_string())).collect()
    }

    /// Finds a candidate by its number, `best`, `seed`, its NAME or a prefix of its commit.
    ///
    /// # Errors
    /// No candidate matches, or a prefix or NAME matches several.
    pub fn candidate(&self, wanted: &str) -> Result<CandidateId, RunError> {
        let best = self.search.best().map(|best| best.candidate);
        let names: Vec<_> = self.search.candidates().map(|(_, known)| (known.name.clone(), known.commit)).collect();
        candidate(wanted, best, &names)
    }
}

fn existing(folder: &RunFolder) -> Result<PathBuf, RunError> {
    let path = folder.journal();
    if path.is_file() { Ok(path) } else { Err(RunError::NotARun(folder.path().to_owned())) }
}

fn candidate(wanted: &str, best: Option<CandidateId>, names: &[(String, CommitId)]) -> Result<CandidateId, RunError> {
    if wanted == "best" {
        return best.ok_or(RunError::NoBest);
    }
    if wanted == "seed" {
        return Ok(CandidateId::SEED);
    }
    if let Some(number) = wanted.parse().ok().filter(|number| *number < names.len() as u64) {
        return Ok(CandidateId(number));
    }
    let commit_fits = |commit: &CommitId| wanted.len() >= 4 && commit.to_string().starts_with(wanted);
    let fits = |(name, commit): &(String, CommitId)| name == wanted || commit_fits(commit);
    let fitting: Vec<usize> = (0..names.len()).filter(|at| fits(&names[*at])).collect();
    match fitting[..] {
        [one] => Ok(CandidateId(one as u64)),
        _ => Err(no_candidate(wanted, names, &fitting)),
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
