//! Replay: makes a candidate, or a whole run, again from the program that the run started from, and says where the
//! record and what comes of it part. The same functions as in a live run; nothing is written.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use packevolve_contract::case;
use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::protocol::WindowSet;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::archive::{Kept, Repository, RepositoryError, Written};
use crate::journal::Entry;
use crate::judge::client::JudgeError;
use crate::proposer::corpus::{self, Document};
use crate::proposer::draw::{ProposalDraft, ProposeError, Proposers};
use crate::proposer::llm::document::document;
use crate::proposer::llm::reply;
use crate::run::derive::{Derived, Descent, Novel, derive, normal_form, novel};
use crate::run::fold::{self, Run};
use crate::search::{Next, Search, Subject, Task};
use crate::values::candidate::{CandidateId, CommitId};
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::{
    Asking, CandidateCreated, CorpusEntry, Declined, Event, ModelAsked, Proposer, RunStarted, Selection, StopReason,
};
use crate::values::operator::Operator;

/// The record and what comes of it are not the same.
#[derive(Debug, Error)]
pub enum Divergence {
    #[error("{what}: the record has {expected}, replay gives {got}")]
    Differs { what: String, expected: String, got: String },
    #[error("event {seq}, {divergence}")]
    At { seq: u64, divergence: Box<Divergence> },
    #[error("candidate {candidate} ({name}) can no longer be derived from its proposal: {reason}")]
    NotDerived { candidate: CandidateId, name: String, reason: String },
    #[error(transparent)]
    Archive(#[from] RepositoryError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

impl Classify for Divergence {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Differs { .. } | Self::NotDerived { .. } | Self::Archive(_) | Self::Propose(_) => ErrorKind::Diverged,
            Self::At { divergence, .. } => divergence.kind(),
            Self::Judge(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Differs { .. } | Self::NotDerived { .. } => None,
            Self::At { divergence, .. } => divergence.hint(),
            Self::Archive(error) => error.hint(),
            Self::Propose(error) => error.hint(),
            Self::Judge(error) => error.hint(),
        }
    }
}

/// One candidate made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    /// Its number.
    pub candidate: CandidateId,
    /// NAME of its proposal.
    pub name: String,
    /// Its commit, as recorded and as made again.
    pub commit: CommitId,
}

/// The programs of candidates made again, and the reader of what they are made from.
struct Maker<'a> {
    started: &'a RunStarted,
    repository: &'a Repository,
    proposers: Proposers,
    programs: HashMap<CandidateId, String>,
    /// What models answered last, by the attempts under way.
    answers: HashMap<u64, String>,
}

/// Makes `candidate` and its ancestors again, oldest first, and compares every program and commit id.
///
/// # Errors
/// The first difference.
pub fn lineage(run: &Run, repository: &Repository, candidate: CandidateId) -> Result<Vec<Step>, Divergence> {
    let mut maker = Maker::new(&run.search, repository)?;
    run.search.line_to(candidate).into_iter().map(|candidate| maker.make(&run.search, candidate)).collect()
}

/// Makes the whole run again: what it started from, every decision, every proposal that was drawn, every candidate, in the
/// order in which one comes of the other; last the refs, if it came to an orderly end. What was measured is taken as it
/// stands: `measure` asks that.
///
/// # Errors
/// The first difference, with the number of its event.
pub fn whole(run: &Run, repository: &Repository) -> Result<Vec<Step>, Divergence> {
    let again = events(run, repository)?;
    again.refs()?;
    Ok(again.steps)
}

/// Makes a part of a run again, from its beginning, as [`whole`] does; the refs tell of more than that part.
///
/// # Errors
/// The first difference, with the number of its event.
pub fn part(run: &Run, repository: &Repository) -> Result<Vec<Step>, Divergence> {
    events(run, repository).map(|again| again.steps)
}

fn events<'a>(run: &'a Run, repository: &'a Repository) -> Result<Again<'a>, Divergence> {
    let mut again = Again::new(run, repository)?;
    for entry in &run.entries {
        again.event(entry).map_err(|divergence| divergence.at(entry.seq))?;
    }
    Ok(again)
}

/// A run as far as it was made again.
struct Again<'a> {
    run: &'a Run,
    repository: &'a Repository,
    maker: Maker<'a>,
    search: Search,
    /// What judges are at work on.
    in_flight: BTreeSet<Task>,
    steps: Vec<Step>,
}

impl<'a> Again<'a> {
    fn new(run: &'a Run, repository: &'a Repository) -> Result<Self, Divergence> {
        let maker = Maker::new(&run.search, repository)?;
        let search = Search::new(run.search.origin().clone());
        Ok(Self { run, repository, maker, search, in_flight: BTreeSet::new(), steps: Vec::new() })
    }

    fn event(&mut self, entry: &Entry<Event>) -> Result<(), Divergence> {
        match &entry.event {
            Event::RunStarted(started) => return self.started(started),
            Event::BaselineEvaluated { .. } => self.measured(Subject::Baseline, WindowSet::Search)?,
            Event::BaselineHeldOut { .. } => self.measured(Subject::Baseline, WindowSet::HeldOut)?,
            Event::CandidateEvaluated { candidate, .. } => {
                self.measured(Subject::Candidate(*candidate), WindowSet::Search)?;
            }
            Event::Confirmed { candidate, .. } | Event::Refuted { candidate, .. } => {
                self.measured(Subject::Candidate(*candidate), WindowSet::HeldOut)?;
            }
            Event::Selected { attempt, selection } => self.selected(*attempt, selection)?,
            Event::CandidateCreated(created) => self.created(created)?,
            Event::ModelAsked(asked) => self.maker.hear(asked)?,
            Event::ProposalDeclined { attempt, proposal, reason } => {
                let document = proposal.map(|id| self.repository.read_blob(id)).transpose()?;
                self.declined(*attempt, document.as_deref(), reason)?;
                self.maker.answers.remove(attempt);
            }
            Event::RunStopped { reason } => self.stopped(*reason)?,
            // Judges start anew.
            Event::RunResumed { .. } => self.in_flight.clear(),
            Event::ModelPaused { .. } | Event::ModelResumed { .. } => {}
        }
        self.search.apply(&entry.event).expect("BUG: the journal was folded before");
        self.dispatch();
        Ok(())
    }

    /// What the settings and the archived texts make of the start.
    fn started(&mut self, started: &RunStarted) -> Result<(), Divergence> {
        let settings = &started.settings;
        let evaluation = &settings.evaluation;
        let again =
            case::cases(&evaluation.topology, &evaluation.global_cases, evaluation.random_cases, settings.rng_seed);
        let differs = |error| Divergence::Differs {
            what: "the cases".to_owned(),
            expected: Shown(&started.cases).to_string(),
            got: format!("none: {error}"),
        };
        same(|| "the cases".into(), &Shown(&started.cases), &Shown(&again.map_err(differs)?))?;
        self.repository.read_blob(started.baseline)?;
        self.steps.push(self.maker.make(&self.run.search, CandidateId::SEED)?);
        let seed = &self.maker.programs[&CandidateId::SEED];
        let (normalised, size) = normal_form(seed);
        same(|| "the seed program without names".into(), &started.normalised, &normalised)?;
        same(|| "the size of the seed program".into(), &started.size, &size)?;
        let document = |entry: &CorpusEntry| {
            Ok(Document { file: entry.file.clone(), bytes: self.repository.read_blob(entry.proposal)? })
        };
        let documents = started.corpus.iter().map(document).collect::<Result<Vec<_>, RepositoryError>>()?;
        let parents: Vec<_> = started.corpus.iter().map(|entry| (&entry.file, entry.parent)).collect();
        let again = corpus::plan(seed, documents);
        let again: Vec<_> = again.iter().map(|planned| (&planned.document.file, planned.parent)).collect();
        same(|| "the corpus".into(), &Shown(&parents), &Shown(&again))?;
        self.dispatch();
        Ok(())
    }

    /// Judges take what matters most as soon as they are free.
    fn dispatch(&mut self) {
        let free = self.search.settings().search.slots.saturating_sub(self.in_flight.len());
        let next: Vec<Task> = self.search.tasks().filter(|task| !self.in_flight.contains(task)).take(free).collect();
        self.in_flight.extend(next);
    }

    /// Only what a judge was at work on can have been measured.
    fn measured(&mut self, subject: Subject, windows: WindowSet) -> Result<(), Divergence> {
        let task = Task { subject, windows };
        if self.in_flight.remove(&task) {
            return Ok(());
        }
        let got: Vec<String> = self.in_flight.iter().map(|task| told_task(*task)).collect();
        let got = if got.is_empty() { "nothing".to_owned() } else { got.join(" or ") };
        Err(Divergence::Differs { what: "what was measured".into(), expected: told_task(task), got })
    }

    fn selected(&self, attempt: u64, selection: &Selection) -> Result<(), Divergence> {
        let what = || "the selection".to_owned();
        let waits = self.in_flight.len() >= self.search.settings().search.slots;
        match self.search.next() {
            // Only a language model is asked while all judges are at work.
            Next::Attempt { .. } if waits && !matches!(selection.proposer, Proposer::Model(_)) => {
                same(what, &format!("attempt {attempt}"), &told_next(&Next::Wait))
            }
            Next::Attempt { attempt: again, .. } if again != attempt => {
                same(what, &format!("attempt {attempt}"), &format!("attempt {again}"))
            }
            Next::Attempt { selection: again, .. } if again != *selection => {
                let (expected, got) = apart(selection, &again);
                Err(Divergence::Differs { what: what(), expected, got })
            }
            Next::Attempt { .. } => Ok(()),
            other => same(what, &format!("attempt {attempt}"), &told_next(&other)),
        }
    }

    fn created(&mut self, created: &CandidateCreated) -> Result<(), Divergence> {
        let selection = selection_of(&self.search, created.attempt).clone();
        let proposal = self.repository.proposal(created.commit)?;
        let proposal = proposal.ok_or_else(|| RepositoryError::no_proposal(created.commit))?;
        let operator = self.maker.draw_again(&self.search, created.attempt, &selection, Some(&proposal))?;
        same(|| "what the proposer did".into(), &Shown(&created.operator), &Shown(&operator))?;
        self.maker.answers.remove(&created.attempt);
        let parent = &self.maker.programs[&selection.parent];
        let what = |part: &str| format!("the {part} of candidate {}", created.candidate);
        match novel(&self.search, parent, &proposal) {
            Err(reason) => {
                let (expected, got) = (format!("candidate {}", created.candidate), reason.to_string());
                return same(|| "what came of the proposal".into(), &expected, &got);
            }
            Ok(Novel { derived, normalised, size }) => {
                same(|| what("name"), &created.name, &derived.proposal.name)?;
                same(|| what("program without names"), &created.normalised, &normalised)?;
                same(|| what("size"), &created.size, &size)?;
            }
        }
        self.steps.push(self.maker.make(&self.run.search, created.candidate)?);
        Ok(())
    }

    fn declined(&mut self, attempt: u64, document: Option<&[u8]>, reason: &Declined) -> Result<(), Divergence> {
        if matches!(reason, Declined::Unanswered { .. }) {
            return Ok(());
        }
        let selection = selection_of(&self.search, attempt);
        self.maker.draw_again(&self.search, attempt, selection, document)?;
        let again = match (document, &selection.proposer) {
            (Some(document), _) => novel(&self.search, &self.maker.programs[&selection.parent], document).err(),
            (None, Proposer::Model(_)) => {
                let error = self.maker.document_of_answer(attempt, selection).err();
                error.map(|error| Declined::Unusable { error })
            }
            (None, _) => Some(Declined::NothingNew),
        };
        let again = again.map_or("a candidate".to_owned(), |reason| reason.to_string());
        same(|| "what came of the proposal".into(), &reason.to_string(), &again)
    }

    /// Whether a run had come to the end that is told; what ends it from outside can come at any time.
    fn stopped(&self, reason: StopReason) -> Result<(), Divergence> {
        match reason {
            StopReason::Candidates | StopReason::Target | StopReason::Exhausted => {
                let (expected, got) = (told_next(&Next::Stop(reason)), told_next(&self.search.next()));
                same(|| "the end of the run".into(), &expected, &got)
            }
            _ => Ok(()),
        }
    }

    /// After an orderly end, refs name what the journal says and keep neither less nor more.
    fn refs(&self) -> Result<(), Divergence> {
        if self.search.stopped().is_none() {
            return Ok(());
        }
        let named = |commit: Option<CommitId>| commit.map_or("nothing".to_owned(), |commit| commit.to_string());
        let best = self.search.best().map_or(CandidateId::SEED, |best| best.candidate);
        let best = self.search.candidate(best).map(|known| known.commit);
        same(|| "what the ref `best` names".into(), &named(self.repository.best()?), &named(best))?;
        let mut kept = Kept::new(self.search.origin().epoch);
        self.run.entries.iter().for_each(|entry| fold::keep_named(&mut kept, &entry.event));
        let (again, found) = self.repository.keeps(&kept);
        same(|| "what the ref `packevolve/kept` names, by which all is kept".into(), &named(found), &named(again))
    }
}

fn told_task(task: Task) -> String {
    let subject = match task.subject {
        Subject::Baseline => "the baseline".to_owned(),
        Subject::Candidate(candidate) => format!("candidate {candidate}"),
    };
    match task.windows {
        WindowSet::Search => subject,
        WindowSet::HeldOut => format!("{subject} on held-out windows"),
    }
}

fn told_next(next: &Next) -> String {
    match next {
        Next::Attempt { attempt, .. } => format!("attempt {attempt}"),
        Next::Wait => "nothing before something is measured".to_owned(),
        Next::Stop(reason) => format!("the end: {reason}"),
    }
}

/// The parts in which two values differ.
fn apart<T: Serialize>(expected: &T, got: &T) -> (String, String) {
    let value = |of: &T| serde_json::to_value(of).expect("BUG: what the journal holds is JSON");
    let (expected, got) = (value(expected), value(got));
    let (Value::Object(expected), Value::Object(got)) = (&expected, &got) else {
        return (expected.to_string(), got.to_string());
    };
    let keys: BTreeSet<&String> =
        expected.keys().chain(got.keys()).filter(|key| expected.get(*key) != got.get(*key)).collect();
    let told = |of: &serde_json::Map<String, Value>| {
        let part = |key: &&String| format!("{key} {}", of.get(*key).unwrap_or(&Value::Null));
        keys.iter().map(part).collect::<Vec<_>>().join(", ")
    };
    (told(expected), told(got))
}

impl Divergence {
    fn at(self, seq: u64) -> Self {
        Self::At { seq, divergence: Box::new(self) }
    }
}

/// The recorded evaluation of a candidate; the seed program's may be the baseline's.
pub fn evaluation_of(run: &Run, candidate: CandidateId) -> Option<Evaluation> {
    run.entries.iter().find_map(|entry| match &entry.event {
        Event::CandidateEvaluated { candidate: judged, evaluation } if *judged == candidate => Some(evaluation.clone()),
        Event::BaselineEvaluated { measurement } if candidate == CandidateId::SEED && run.search.baseline_is_seed() => {
            Some(Evaluation::Measured { measurement: measurement.clone() })
        }
        _ => None,
    })
}

impl<'a> Maker<'a> {
    fn new(search: &'a Search, repository: &'a Repository) -> Result<Self, ProposeError> {
        let started = search.origin();
        let proposers = Proposers::open(started, repository)?;
        Ok(Self { started, repository, proposers, programs: HashMap::new(), answers: HashMap::new() })
    }

    /// Makes one candidate whose parents were made.
    fn make(&mut self, search: &Search, candidate: CandidateId) -> Result<Step, Divergence> {
        let known = search.candidate(candidate).expect("BUG: only candidates of the run are made again");
        self.repository.verify_candidate(known.commit)?;
        let (written, program) = match known.parents.first() {
            None => self.seed(known.commit)?,
            Some(edited) => self.child(search, candidate, *edited)?,
        };
        let what = |part: &str| format!("{part} of candidate {candidate} ({})", known.name);
        same(|| what("program"), &known.program, &written.program)?;
        same(|| what("commit"), &known.commit, &written.commit)?;
        self.programs.insert(candidate, program);
        Ok(Step { candidate, name: known.name.clone(), commit: written.commit })
    }

    fn seed(&self, commit: CommitId) -> Result<(Written, String), Divergence> {
        let program = self.repository.program(commit, &self.started.file_name)?;
        let descent = self.descent(CandidateId::SEED, &[], None);
        Ok((descent.as_seed(&program, |new| new.ids())?, program))
    }

    fn child(
        &self,
        search: &Search,
        candidate: CandidateId,
        edited: CandidateId,
    ) -> Result<(Written, String), Divergence> {
        let known = search.candidate(candidate).expect("BUG: made again from this search");
        let not_derived = |reason: String| Divergence::NotDerived { candidate, name: known.name.clone(), reason };
        let document = self
            .repository
            .proposal(known.commit)?
            .ok_or_else(|| not_derived("its commit holds no proposal".to_owned()))?;
        let Derived { proposal, program } =
            derive(&self.programs[&edited], &document).map_err(|reason| not_derived(reason.to_string()))?;
        let commit = |parent: &CandidateId| search.candidate(*parent).expect("BUG: parents are older").commit;
        let parents: Vec<_> = known.parents.iter().map(|parent| (*parent, commit(parent))).collect();
        let descent = self.descent(candidate, &parents, known.proposer);
        let (name, description) = (&proposal.name, &proposal.description);
        let written = descent.as_new(name, description, &program, Some(&document), |new| new.ids())?;
        Ok((written, program))
    }

    fn descent<'b>(
        &'b self,
        candidate: CandidateId,
        parents: &'b [(CandidateId, CommitId)],
        proposer: Option<Proposer>,
    ) -> Descent<'b> {
        let RunStarted { file_name, epoch, .. } = self.started;
        Descent { candidate, parents, proposer, file_name, epoch: *epoch }
    }

    /// Takes in a request and its reply as they were recorded; no endpoint is needed.
    fn hear(&mut self, asked: &ModelAsked) -> Result<(), Divergence> {
        self.repository.read_blob(asked.request)?;
        let reply = asked.reply.map(|reply| self.repository.read_blob(reply)).transpose()?;
        if let (Asking::Proposal(attempt), Some(reply), None) = (asked.asking, reply, &asked.error) {
            self.answers.insert(attempt, reply::read(&reply).text.unwrap_or_default());
        }
        Ok(())
    }

    /// The document that comes of what a model answered; what is wrong with the answer, if none does.
    fn document_of_answer(&self, attempt: u64, selection: &Selection) -> Result<Vec<u8>, String> {
        let answer = self.answers.get(&attempt).ok_or("there was no answer")?;
        let form = selection.form.expect("BUG: the journal was checked when it was read");
        document(form, &self.programs[&selection.parent], answer).map_err(|error| error.to_string())
    }

    /// Asks the proposer of an attempt again and compares the document; what the proposer did.
    fn draw_again(
        &self,
        search: &Search,
        attempt: u64,
        selection: &Selection,
        recorded: Option<&[u8]>,
    ) -> Result<Option<Operator>, Divergence> {
        let program = |candidate: CandidateId| Ok::<_, RepositoryError>(self.programs[&candidate].clone());
        let again = match selection.proposer {
            Proposer::Model(_) => {
                let document = self.document_of_answer(attempt, selection).ok();
                document.map(|document| ProposalDraft { document, operator: None })
            }
            _ => self.proposers.draw(search, self.repository, (attempt, selection), program)?,
        };
        let document = again.as_ref().map(|drawn| drawn.document.as_slice());
        if recorded == document {
            return Ok(again.and_then(|drawn| drawn.operator));
        }
        let (expected, got) = first_difference(recorded.unwrap_or_default(), document.unwrap_or_default());
        Err(Divergence::Differs { what: "the proposal".to_owned(), expected, got })
    }
}

/// The first line in which two texts differ.
fn first_difference(one: &[u8], other: &[u8]) -> (String, String) {
    let lines = |bytes| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (lines(one), lines(other));
    let line = (0..).find(|line| one.get(*line) != other.get(*line)).expect("BUG: texts end");
    let told = |lines: &[String]| match lines.get(line) {
        Some(text) => format!("{text:?} in line {}", line + 1),
        None if lines.is_empty() => "none".to_owned(),
        None => format!("its end at line {}", line + 1),
    };
    (told(&one), told(&other))
}

/// Shown by its `Debug`, for values that have no other.
struct Shown<'a, T>(&'a T);

impl<T: PartialEq> PartialEq for Shown<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: fmt::Debug> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

pub(super) fn same<T: PartialEq + fmt::Display>(
    what: impl Fn() -> String,
    expected: &T,
    got: &T,
) -> Result<(), Divergence> {
    if expected == got {
        return Ok(());
    }
    Err(Divergence::Differs { what: what(), expected: expected.to_string(), got: got.to_string() })
}

fn selection_of(search: &Search, attempt: u64) -> &Selection {
    let open = search.open_attempts().iter().find(|(open, _)| *open == attempt);
    &open.expect("BUG: the journal was checked when it was read").1
}
