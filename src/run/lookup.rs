//! Glance: a run, looked at here and there: which candidates are the best, one of them with all that is known of it.
//!
//! What is told is read from the journal's own lines, each checked; the index only says where they are, and in which
//! order candidates stand. An index that says otherwise than the journal is left alone and the whole journal read.

use std::path::{Path, PathBuf};

use packevolve_contract::evaluation::Evaluation;

use crate::journal::{Digest, Entry, JournalError, Reader, TornLine, read_each};
use crate::run::fold::{self, Fold};
use crate::run::folder::{RunError, RunFolder};
use crate::run::index::{self, Kind, Line};
use crate::search::{Candidate, HeldOutResult, Outcome, Search};
use crate::values::candidate::{CandidateId, CommitId};
use crate::values::event::{CandidateCreated, Event, Selection};

/// A run of which only what is asked for is read.
#[derive(Debug)]
pub struct Glance {
    /// Where it is.
    pub folder: RunFolder,
    /// An unfinished last line, ignored.
    pub torn: Option<TornLine>,
    journal: PathBuf,
    lines: Vec<Line>,
    /// The run as it was once the baseline was measured.
    start: Search,
    /// By number.
    candidates: Vec<Places>,
    /// By number of the attempt.
    attempts: Vec<usize>,
    best: Option<CandidateId>,
}

/// Where the lines of a candidate are.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    created: usize,
    evaluated: Option<usize>,
    ruling: Option<usize>,
    score: Option<f64>,
}

/// One candidate.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the search knows of it; how often it was chosen or repaired is not counted here.
    pub known: Candidate,
    /// The decision that led to it; `None` of the seed program.
    pub selection: Option<Selection>,
    /// What the judge found, once it has.
    pub evaluation: Option<Evaluation>,
}

impl Glance {
    /// Opens a run; it may be live.
    ///
    /// # Errors
    /// No journal, a damaged one, one of a newer format.
    pub fn open(folder: &RunFolder) -> Result<Self, RunError> {
        let journal = folder.journal();
        if !journal.is_file() {
            return Err(RunError::NotARun(folder.path().to_owned()));
        }
        let lines = index::read(&folder.index());
        match Self::with(folder, lines)? {
            Some(glance) => Ok(glance),
            None => Self::whole(folder),
        }
    }

    /// Reads all of the journal.
    fn whole(folder: &RunFolder) -> Result<Self, RunError> {
        let (journal, mut lines) = (folder.journal(), Vec::new());
        let mut fold = Fold::new(&journal);
        read_each(&journal, |entry: Entry<Event>| -> Result<(), RunError> {
            let search = fold.step(&entry)?;
            lines.push(Line::of((entry.offset, entry.digest), &entry.event, search));
            Ok(())
        })?;
        fold.finish()?;
        // Only if somebody writes another journal in its place meanwhile.
        Self::with(folder, lines)?.ok_or_else(|| RunError::OtherIndex(folder.index()))
    }

    /// With the lines of an index and what came after them; `None` if they are not the journal's.
    fn with(folder: &RunFolder, lines: Vec<Line>) -> Result<Option<Self>, RunError> {
        let journal = folder.journal();
        let Some(Event::RunStarted(started)) = at(&journal, &lines, 0)? else { return Ok(None) };
        let (start, torn) = (Search::new(*started), None);
        let (candidates, attempts) = (vec![Places::default()], Vec::new());
        let (count, best, folder) = (lines.len(), None, folder.clone());
        let mut glance = Self { folder, torn, journal, lines: Vec::new(), start, candidates, attempts, best };
        for line in lines {
            if !glance.add(line)? {
                return Ok(None);
            }
        }
        Ok(glance.catch_up(count - 1)?.then_some(glance))
    }

    /// Takes in the events since the last line of the index; whether that is the journal's.
    fn catch_up(&mut self, last: usize) -> Result<bool, RunError> {
        let Line { offset, digest, .. } = self.lines[last];
        let mut reader = Reader::<Event>::open(&self.journal)?;
        reader.go_to(last as u64, offset, before(&self.lines, last))?;
        match reader.next() {
            Some(Ok(entry)) if entry.digest == digest => {}
            _ => return Ok(false),
        }
        for entry in reader.by_ref() {
            let entry = entry?;
            let mut line = Line::of((entry.offset, entry.digest), &entry.event, &self.start);
            let Some(best) = self.best_after(&entry.event) else { return Ok(false) };
            line.best = best;
            if !self.add(line)? || self.score_anew(line).is_err() {
                return Ok(false);
            }
        }
        self.torn = reader.torn();
        Ok(true)
    }

    /// The best candidate after an event that no index knows; the outer `None` if only all events before it could tell.
    fn best_after(&self, event: &Event) -> Option<Option<CandidateId>> {
        let holds_out = self.start.origin().settings.evaluation.held_out_windows > 0;
        match event {
            Event::BaselineEvaluated { .. } => Some(self.start.baseline_is_seed().then_some(CandidateId::SEED)),
            Event::Confirmed { candidate, .. } => Some(Some(*candidate)),
            Event::CandidateEvaluated { .. } if !holds_out => None,
            _ => Some(self.best),
        }
    }

    /// Takes in the next line; whether a journal can have it there.
    fn add(&mut self, line: Line) -> Result<bool, RunError> {
        let (at, number) = (self.lines.len(), line.number as usize);
        self.lines.push(line);
        self.best = line.best;
        match line.kind {
            Kind::Other => {}
            Kind::Baseline | Kind::BaselineHeldOut => {
                let Ok(event) = self.event(at) else { return Ok(false) };
                if self.start.apply(&event).is_err() {
                    return Ok(false);
                }
                if line.kind == Kind::Baseline && self.start.baseline_is_seed() {
                    self.candidates[0].evaluated = Some(at);
                    self.candidates[0].score = line.score;
                }
            }
            Kind::Selected if number == self.attempts.len() => self.attempts.push(at),
            Kind::Created if number == self.candidates.len() => {
                self.candidates.push(Places { created: at, ..Places::default() });
            }
            Kind::Selected | Kind::Created => return Ok(false),
            Kind::Evaluated | Kind::Confirmed | Kind::Refuted => {
                let Some(places) = self.candidates.get_mut(number) else { return Ok(false) };
                let place = if line.kind == Kind::Evaluated { &mut places.evaluated } else { &mut places.ruling };
                *place = Some(at);
                places.score = line.score;
            }
        }
        Ok(true)
    }

    /// Looks up what the candidate of a line scores that no index knows.
    fn score_anew(&mut self, line: Line) -> Result<(), RunError> {
        let candidate = match line.kind {
            Kind::Evaluated | Kind::Confirmed | Kind::Refuted => CandidateId(line.number),
            Kind::Baseline if self.start.baseline_is_seed() => CandidateId::SEED,
            _ => return Ok(()),
        };
        self.candidates[candidate.index()].score = score_of(&self.candidate_of_index(candidate)?.known);
        Ok(())
    }

    /// The run as it was once the baseline was measured: what it started from, and how it scores.
    pub fn start(&self) -> &Search {
        &self.start
    }

    /// How many candidates there are.
    pub fn count(&self) -> usize {
        self.candidates.len()
    }

    /// The best candidate.
    pub fn best(&self) -> Option<CandidateId> {
        self.best
    }

    /// The `count` candidates with the highest scores, best first.
    fn ranked(&self, count: usize) -> Vec<CandidateId> {
        let scored = self.candidates.iter().enumerate().filter_map(|(number, places)| Some((places.score?, number)));
        let mut scored: Vec<(f64, usize)> = scored.collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.into_iter().take(count).map(|(_, number)| CandidateId(number as u64)).collect()
    }

    /// The `count` candidates with the highest scores, best first; behind them the best of the run, if it has a score and
    /// is not one of them.
    ///
    /// # Errors
    /// A damaged journal.
    pub fn top(&mut self, count: usize) -> Result<Vec<(CandidateId, Candidate)>, RunError> {
        self.believing(|glance| glance.top_of_index(count))
    }

    fn top_of_index(&self, count: usize) -> Result<Vec<(CandidateId, Candidate)>, RunError> {
        let mut ids = self.ranked(count);
        let has_score = |id: &CandidateId| self.candidates[id.index()].score.is_some();
        ids.extend(self.best().filter(|best| has_score(best) && !ids.contains(best)));
        let known = |id: CandidateId| {
            let known = self.candidate_of_index(id)?.known;
            let is_right = score_of(&known) == self.candidates[id.index()].score;
            if is_right { Ok((id, known)) } else { Err(self.other()) }
        };
        ids.into_iter().map(known).collect()
    }

    /// One candidate, with all that the journal says of it.
    ///
    /// # Errors
    /// A damaged journal.
    ///
    /// # Panics
    /// If there is no such candidate.
    pub fn seen(&mut self, candidate: CandidateId) -> Result<Seen, RunError> {
        self.believing(|glance| glance.candidate_of_index(candidate))
    }

    /// The candidates from the seed program to this one, each an edit of the one before.
    ///
    /// # Errors
    /// A damaged journal.
    pub fn line_to(&mut self, candidate: CandidateId) -> Result<Vec<(CandidateId, Candidate)>, RunError> {
        let mut line = Vec::new();
        let mut next = Some(candidate);
        while let Some(candidate) = next {
            let known = self.seen(candidate)?.known;
            next = known.parents.first().copied();
            line.push((candidate, known));
        }
        line.reverse();
        Ok(line)
    }

    /// Asks once more with all of the journal read if the index is found to be another's.
    fn believing<T>(&mut self, ask: impl Fn(&Self) -> Result<T, RunError>) -> Result<T, RunError> {
        match ask(self) {
            Err(RunError::OtherIndex(_)) => {
                *self = Self::whole(&self.folder)?;
                ask(self)
            }
            answer => answer,
        }
    }

    /// The candidate that a person means: its number, `best`, `seed`, its NAME or a prefix of its commit.
    ///
    /// # Errors
    /// When there is none, or a prefix or NAME fits several.
    pub fn candidate(&mut self, wanted: &str) -> Result<CandidateId, RunError> {
        self.believing(|glance| fold::candidate(wanted, glance.best(), glance.count(), || glance.names()))
    }

    /// NAMEs and commits of all candidates.
    fn names(&self) -> Result<Vec<(String, CommitId)>, RunError> {
        let mut reader = Reader::<Event>::open(&self.journal)?;
        let mut names = vec![("seed".to_owned(), self.start.origin().commit)];
        for places in &self.candidates[1..] {
            match next_at(&mut reader, &self.lines, places.created)? {
                Some(Event::CandidateCreated(created)) => names.push((created.name, created.commit)),
                _ => return Err(self.other()),
            }
        }
        Ok(names)
    }

    fn candidate_of_index(&self, candidate: CandidateId) -> Result<Seen, RunError> {
        let places = self.candidates[candidate.index()];
        let evaluation = places.evaluated.map(|at| self.evaluation(candidate, at)).transpose()?;
        let ruling = places.ruling.map(|at| self.event(at)).transpose()?;
        let (mut known, selection) = self.origin(candidate, places)?;
        known.held_out = ruling.as_ref().map(|ruling| self.ruling(candidate, ruling)).transpose()?;
        known.outcome = evaluation.as_ref().map(|evaluation| self.verdict(evaluation, ruling.as_ref())).transpose()?;
        Ok(Seen { known, selection, evaluation })
    }

    fn evaluation(&self, candidate: CandidateId, place: usize) -> Result<Evaluation, RunError> {
        match self.event(place)? {
            Event::CandidateEvaluated { candidate: judged, evaluation } if judged == candidate => Ok(evaluation),
            Event::BaselineEvaluated { measurement } if candidate == CandidateId::SEED => {
                Ok(Evaluation::Measured { measurement })
            }
            _ => Err(self.other()),
        }
    }

    /// What is known of a candidate before it is judged.
    fn origin(&self, candidate: CandidateId, places: Places) -> Result<(Candidate, Option<Selection>), RunError> {
        let seed = self.start.candidate(CandidateId::SEED).expect("BUG: every run has a seed program");
        if candidate == CandidateId::SEED {
            return Ok((Candidate { outcome: None, held_out: None, ..seed.clone() }, None));
        }
        let Event::CandidateCreated(created) = self.event(places.created)? else { return Err(self.other()) };
        let CandidateCreated { candidate: made, attempt, parents, .. } = &created;
        if *made != candidate || parents.iter().any(|parent| *parent >= candidate) {
            return Err(self.other());
        }
        let selected = self.attempts.get(*attempt as usize).ok_or_else(|| self.other())?;
        let Event::Selected { selection, .. } = self.event(*selected)? else { return Err(self.other()) };
        Ok((Candidate::new(&created, &selection, 0), Some(selection)))
    }

    fn verdict(&self, evaluation: &Evaluation, ruling: Option<&Event>) -> Result<Outcome, RunError> {
        let measurement = match evaluation {
            Evaluation::Outclassed { .. } => return Ok(Outcome::Outclassed),
            Evaluation::Rejected { .. } => return Ok(Outcome::Rejected),
            Evaluation::Measured { measurement } => measurement,
        };
        let alone = self.start.scores(measurement).ok_or_else(|| self.other())?;
        Ok(match ruling {
            Some(Event::Refuted { evaluation, .. }) => match evaluation.measured() {
                Some(held_out) => Outcome::Measured(Box::new(self.start.pooled_scores(&measurement.pooled(held_out)))),
                None => Outcome::Rejected,
            },
            _ => Outcome::Measured(Box::new(alone)),
        })
    }

    fn ruling(&self, candidate: CandidateId, ruling: &Event) -> Result<HeldOutResult, RunError> {
        // Nobody rules before the baseline was measured there.
        let scores = |measurement| self.start.held_out_scores(measurement).map(Box::new).ok_or_else(|| self.other());
        match ruling {
            Event::Confirmed { candidate: of, measurement } if *of == candidate => {
                Ok(HeldOutResult { confirmed: true, scores: Some(scores(measurement)?) })
            }
            Event::Refuted { candidate: of, evaluation } if *of == candidate => {
                Ok(HeldOutResult { confirmed: false, scores: evaluation.measured().map(scores).transpose()? })
            }
            _ => Err(self.other()),
        }
    }

    fn event(&self, place: usize) -> Result<Event, RunError> {
        at(&self.journal, &self.lines, place)?.ok_or_else(|| self.other())
    }

    fn other(&self) -> RunError {
        RunError::OtherIndex(self.folder.index())
    }
}

fn score_of(known: &Candidate) -> Option<f64> {
    match known.outcome.as_ref()? {
        Outcome::Measured(scores) => Some(scores.combined_score),
        Outcome::Outclassed | Outcome::Rejected => None,
    }
}

/// The event at a place of an index; `None` if the journal has no such line there.
fn at(journal: &Path, lines: &[Line], place: usize) -> Result<Option<Event>, RunError> {
    if place >= lines.len() {
        return Ok(None);
    }
    next_at(&mut Reader::open(journal)?, lines, place)
}

fn next_at(reader: &mut Reader<Event>, lines: &[Line], place: usize) -> Result<Option<Event>, RunError> {
    let line = lines[place];
    reader.go_to(place as u64, line.offset, before(lines, place))?;
    match reader.next() {
        Some(Ok(entry)) if entry.digest == line.digest => Ok(Some(entry.event)),
        Some(Err(error @ JournalError::Io { .. })) => Err(error.into()),
        _ => Ok(None),
    }
}

/// The digest that a line is chained to.
fn before(lines: &[Line], place: usize) -> Option<Digest> {
    place.checked_sub(1).map(|before| lines[before].digest)
}
