//! Reproduces a candidate or a whole run from its record, and names the first difference. It uses the functions of a
//! live run and writes nothing.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::archive::programs::derive;
use crate::archive::{ArchiveError, CandidateIds, Programs, ProgramsError};
use crate::journal::exchanges::{ExchangeError, Exchanges};
use crate::journal::{self, Entry, JournalError};
use crate::judge::client::JudgeError;
use crate::proposer::corpus::{self, Document};
use crate::proposer::draw::{ProposalDraft, ProposeError, Proposers};
use crate::proposer::llm::document::document;
use crate::proposer::llm::reply;
use crate::run::derive::{Child, Descent, new_seed, normal_form, novel};
use crate::run::fold::Run;
use crate::search::best::Best;
use crate::search::{Attempt, Next, Search, Task};
use crate::values::candidate::{CandidateId, CommitId};
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::{
    Asking, CandidateCreated, CorpusEntry, Declined, Event, ModelAsked, Proposer, RunStarted, Selection, StopReason,
};
use crate::values::operator::Operator;

/// A difference between the record and its replay.
#[derive(Debug, Error)]
pub enum Divergence {
    #[error("{what}: the record has {expected}, replay gives {got}")]
    Differs { what: String, expected: String, got: String },
    #[error("event {seq}, {divergence}")]
    At { seq: u64, divergence: Box<Divergence> },
    #[error("candidate {candidate} ({name}) can no longer be derived from its proposal: {reason}")]
    NotDerived { candidate: CandidateId, name: String, reason: String },
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

impl Classify for Divergence {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Differs { .. }
            | Self::NotDerived { .. }
            | Self::Archive(_)
            | Self::Programs(_)
            | Self::Exchange(_)
            | Self::Propose(_) => ErrorKind::Diverged,
            Self::Journal(error) => error.kind(),
            Self::At { divergence, .. } => divergence.kind(),
            Self::Judge(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Differs { .. } | Self::NotDerived { .. } => None,
            Self::At { divergence, .. } => divergence.hint(),
            Self::Archive(error) => error.hint(),
            Self::Programs(error) => error.hint(),
            Self::Journal(error) => error.hint(),
            Self::Exchange(error) => error.hint(),
            Self::Propose(error) => error.hint(),
            Self::Judge(error) => error.hint(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    pub candidate: CandidateId,
    /// NAME of its proposal.
    pub name: String,
    /// Its commit, recorded and reproduced.
    pub commit: CommitId,
}

struct Maker<'a> {
    programs: &'a Programs,
    exchanges: Exchanges,
    proposers: Proposers,
    /// The latest answers of models, by open attempt.
    answers: HashMap<u64, String>,
}

/// Reproduces `candidate` and its ancestors, oldest first, and compares every program and commit id.
///
/// # Errors
/// The first difference.
pub fn lineage(run: &Run, candidate: CandidateId) -> Result<Vec<Step>, Divergence> {
    let maker = Maker::new(run)?;
    run.search.line_to(candidate).into_iter().map(|candidate| maker.make(&run.search, candidate)).collect()
}

/// Reproduces the whole run: its inputs, every decision, every drawn proposal and every candidate. Takes measurements
/// from the record; `measure` repeats them.
///
/// # Errors
/// The first difference, with the number of its event.
pub fn whole(run: &Run) -> Result<Vec<Step>, Divergence> {
    let mut again = Again::new(run)?;
    journal::read_each(&run.folder.journal(), |entry| match again.is_over(&entry) {
        true => Ok(()),
        false => again.event(&entry).map_err(|divergence| divergence.at(entry.seq)),
    })?;
    Ok(again.steps)
}

/// The reproduced part of a run.
struct Again<'a> {
    run: &'a Run,
    maker: Maker<'a>,
    search: Search,
    /// The evaluations in flight.
    in_flight: BTreeSet<Task>,
    steps: Vec<Step>,
}

impl<'a> Again<'a> {
    fn new(run: &'a Run) -> Result<Self, Divergence> {
        let search = Search::new(run.search.origin().clone());
        Ok(Self { run, maker: Maker::new(run)?, search, in_flight: BTreeSet::new(), steps: Vec::new() })
    }

    /// Whether the record was read only up to this event.
    fn is_over(&self, entry: &Entry<Event>) -> bool {
        entry.seq >= self.run.events
    }

    fn event(&mut self, entry: &Entry<Event>) -> Result<(), Divergence> {
        match &entry.event {
            Event::RunStarted(started) => return self.started(started),
            Event::SlotLost { task: Some(task), .. } => self.measured(*task)?,
            Event::BaselineEvaluated { .. } => self.measured(Task::Baseline)?,
            Event::CandidateEvaluated { candidate, .. } => self.measured(self.task_of(*candidate))?,
            Event::DuelStarted { contender, best, .. } => self.duel_started(*contender, *best)?,
            Event::DuelEnded { contender, .. } => self.measured(Task::Duel(*contender))?,
            Event::Selected { attempt, selection } => self.selected(*attempt, selection)?,
            Event::CandidateCreated(created) => self.created(created)?,
            Event::ModelAsked(asked) => self.maker.hear(asked)?,
            Event::ProposalDeclined { attempt, proposal, reason } => {
                self.declined(*attempt, proposal.as_ref().map(|proposal| proposal.0.as_slice()), reason)?;
                self.maker.answers.remove(attempt);
            }
            Event::RunStopped { reason } => self.stopped(*reason)?,
            // The judges start again.
            Event::RunResumed { .. } => self.in_flight.clear(),
            Event::SlotOpened { .. }
            | Event::SlotLost { task: None, .. }
            | Event::LimitNear { .. }
            | Event::ProposalGiven(_)
            | Event::ModelPaused { .. }
            | Event::ModelResumed { .. } => {}
        }
        self.search.apply(&entry.event).expect("BUG: the journal was folded before");
        self.dispatch();
        Ok(())
    }

    /// The start that follows from the settings and the recorded texts.
    fn started(&mut self, started: &RunStarted) -> Result<(), Divergence> {
        let settings = &started.settings;
        let again = settings.evaluation.cases(settings.rng_seed);
        let differs = |error| Divergence::Differs {
            what: "the cases".to_owned(),
            expected: Shown(&started.cases).to_string(),
            got: format!("none: {error}"),
        };
        same(|| "the cases".into(), &Shown(&started.cases), &Shown(&again.map_err(differs)?))?;
        self.steps.push(self.maker.make(&self.run.search, CandidateId::SEED)?);
        let (normalised, size) = normal_form(&started.program);
        same(|| "the seed program without names".into(), &started.seed.normalised, &normalised)?;
        same(|| "the size of the seed program".into(), &started.seed.size, &size)?;
        let document = |entry: &CorpusEntry| Document { file: entry.file.clone(), bytes: entry.document.0.clone() };
        let documents = started.corpus.iter().map(document).collect();
        let parents: Vec<_> = started.corpus.iter().map(|entry| (&entry.file, entry.parent)).collect();
        let again = corpus::plan(&started.program, documents);
        let again: Vec<_> = again.iter().map(|planned| (&planned.document.file, planned.parent)).collect();
        same(|| "the corpus".into(), &Shown(&parents), &Shown(&again))?;
        self.dispatch();
        Ok(())
    }

    /// A free judge takes the most important task at once.
    fn dispatch(&mut self) {
        let free = self.search.places().open().saturating_sub(self.in_flight.len());
        let next: Vec<Task> = self.search.tasks().filter(|task| !self.in_flight.contains(task)).take(free).collect();
        self.in_flight.extend(next);
    }

    /// What an evaluation of a candidate ends.
    fn task_of(&self, candidate: CandidateId) -> Task {
        let is_partial = self.search.candidate(candidate).is_some_and(|known| known.is_partial);
        if is_partial { Task::Complete(candidate) } else { Task::Evaluate(candidate) }
    }

    /// Only a measurement in flight can end, or be lost. A run whose time is used up completes partial verdicts and starts
    /// nothing else, so a judge may have taken one of those in place of what it took here.
    fn measured(&mut self, task: Task) -> Result<(), Divergence> {
        let is_urgent = self.search.is_limit_near() && self.search.tasks().next() == Some(task);
        match self.in_flight.remove(&task) || is_urgent {
            true => Ok(()),
            false => Err(self.other_task(task)),
        }
    }

    /// A duel starts with the program that the search chooses, against the one that it has to beat. Only its seed is an
    /// input. Nothing else tells that it starts, so a judge has it already.
    fn duel_started(&self, contender: CandidateId, best: CandidateId) -> Result<(), Divergence> {
        let task = Task::Duel(contender);
        if !self.in_flight.contains(&task) {
            return Err(self.other_task(task));
        }
        let opponent = self.search.opponent(contender).map(|Best { candidate, .. }| *candidate);
        let what = || format!("what candidate {contender} has to beat");
        same(what, &format!("candidate {best}"), &opponent.map_or("nothing".into(), |best| format!("candidate {best}")))
    }

    fn other_task(&self, task: Task) -> Divergence {
        let got: Vec<String> = self.in_flight.iter().map(|task| task_text(*task)).collect();
        let got = if got.is_empty() { "nothing".to_owned() } else { got.join(" or ") };
        Divergence::Differs { what: "what was measured".into(), expected: task_text(task), got }
    }

    fn selected(&self, attempt: u64, selection: &Selection) -> Result<(), Divergence> {
        let what = || "the selection".to_owned();
        let waits = self.in_flight.len() >= self.search.places().open();
        match self.search.next() {
            // While all judges work, only language models are asked.
            Next::Attempt(_) if waits && !matches!(selection.proposer, Proposer::Model(_)) => {
                same(what, &format!("attempt {attempt}"), &next_text(&Next::Wait))
            }
            Next::Attempt(again) if again.number != attempt => {
                same(what, &format!("attempt {attempt}"), &format!("attempt {}", again.number))
            }
            Next::Attempt(again) if again.selection != *selection => {
                let (expected, got) = apart(selection, &again.selection);
                Err(Divergence::Differs { what: what(), expected, got })
            }
            Next::Attempt(_) => Ok(()),
            other => same(what, &format!("attempt {attempt}"), &next_text(&other)),
        }
    }

    fn created(&mut self, created: &CandidateCreated) -> Result<(), Divergence> {
        let attempt = open_attempt(&self.search, created.attempt).clone();
        let proposal = &created.proposal.0;
        let operator = self.maker.draw_again(&self.search, &attempt, Some(proposal))?;
        same(|| "what the proposer did".into(), &Shown(&created.operator), &Shown(&operator))?;
        self.maker.answers.remove(&created.attempt);
        let parent = self.maker.programs.program(attempt.selection.parent)?;
        let what = |part: &str| format!("the {part} of candidate {}", created.candidate);
        match novel(&self.search, &parent, proposal) {
            Err(reason) => {
                let (expected, got) = (format!("candidate {}", created.candidate), reason.to_string());
                return same(|| "what came of the proposal".into(), &expected, &got);
            }
            Ok(Child { proposal, normalised, size, .. }) => {
                same(|| what("name"), &created.name, &proposal.name)?;
                same(|| what("program without names"), &created.fingerprint.normalised, &normalised)?;
                same(|| what("size"), &created.fingerprint.size, &size)?;
            }
        }
        self.steps.push(self.maker.make(&self.run.search, created.candidate)?);
        Ok(())
    }

    fn declined(&mut self, attempt: u64, document: Option<&[u8]>, reason: &Declined) -> Result<(), Divergence> {
        if matches!(reason, Declined::Unanswered { .. }) {
            return Ok(());
        }
        let attempt = open_attempt(&self.search, attempt);
        let selection = &attempt.selection;
        self.maker.draw_again(&self.search, attempt, document)?;
        let again = match (document, &selection.proposer) {
            (Some(document), _) => novel(&self.search, &self.maker.programs.program(selection.parent)?, document).err(),
            (None, Proposer::Model(_)) => {
                let error = self.maker.document_of_answer(attempt).err();
                error.map(|error| Declined::Unusable { error })
            }
            (None, _) => Some(Declined::NothingNew),
        };
        let again = again.map_or("a candidate".to_owned(), |reason| reason.to_string());
        same(|| "what came of the proposal".into(), &reason.to_string(), &again)
    }

    /// Whether the recorded reason to stop holds; a reason from outside can occur at any time.
    fn stopped(&self, reason: StopReason) -> Result<(), Divergence> {
        match reason {
            StopReason::Candidates | StopReason::Target | StopReason::Exhausted => {
                let (expected, got) = (next_text(&Next::Stop(reason)), next_text(&self.search.next()));
                same(|| "the end of the run".into(), &expected, &got)
            }
            _ => Ok(()),
        }
    }
}

fn task_text(task: Task) -> String {
    match task {
        Task::Baseline => "the baseline".to_owned(),
        Task::Evaluate(candidate) => format!("candidate {candidate}"),
        Task::Complete(candidate) => format!("candidate {candidate} in full"),
        Task::Duel(contender) => format!("a duel of candidate {contender}"),
    }
}

fn next_text(next: &Next) -> String {
    match next {
        Next::Attempt(attempt) => format!("attempt {}", attempt.number),
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
    let shown = |of: &serde_json::Map<String, Value>| {
        let part = |key: &&String| format!("{key} {}", of.get(*key).unwrap_or(&Value::Null));
        keys.iter().map(part).collect::<Vec<_>>().join(", ")
    };
    (shown(expected), shown(got))
}

impl Divergence {
    fn at(self, seq: u64) -> Self {
        Self::At { seq, divergence: Box::new(self) }
    }
}

impl<'a> Maker<'a> {
    fn new(run: &'a Run) -> Result<Self, ProposeError> {
        let proposers = Proposers::open(run.search.origin())?;
        let exchanges = Exchanges::new(run.folder.exchanges());
        Ok(Self { programs: &run.programs, exchanges, proposers, answers: HashMap::new() })
    }

    fn make(&self, search: &Search, candidate: CandidateId) -> Result<Step, Divergence> {
        let known = search.candidate(candidate).expect("BUG: only candidates of the run are made again");
        let ids = self.ids(search, candidate)?;
        let what = |part: &str| format!("{part} of candidate {candidate} ({})", known.name);
        same(|| what("program"), &known.program, &ids.program)?;
        same(|| what("commit"), &known.commit, &ids.commit)?;
        Ok(Step { candidate, name: known.name.clone(), commit: ids.commit })
    }

    fn ids(&self, search: &Search, candidate: CandidateId) -> Result<CandidateIds, Divergence> {
        let (origin, known) = (search.origin(), search.candidate(candidate).expect("BUG: a candidate of the run"));
        let Some(created) = self.programs.created(candidate)? else {
            return Ok(new_seed(&origin.program, &origin.file_name, origin.epoch).ids()?);
        };
        let not_derived = |reason: String| Divergence::NotDerived { candidate, name: known.name.clone(), reason };
        let parent = self.programs.program(created.parents[0])?;
        let derived = derive(&parent, &created.proposal.0).map_err(|reason| not_derived(reason.to_string()))?;
        let (proposal, program) = derived;
        let descent = Descent { candidate, parents: &known.parents, proposer: known.proposer };
        Ok(descent.new_candidate(search, &proposal, &program, &created.proposal.0).ids()?)
    }

    /// Applies a recorded request and reply, without an endpoint.
    fn hear(&mut self, asked: &ModelAsked) -> Result<(), Divergence> {
        let reply = self.exchanges.read(asked.exchange)?.reply;
        if let (Asking::Proposal(attempt), Some(reply), None) = (asked.asking, reply, &asked.error) {
            self.answers.insert(attempt, reply::read(&reply.0).text.unwrap_or_default());
        }
        Ok(())
    }

    /// The document in a model's answer, or the problem of the answer.
    fn document_of_answer(&self, attempt: &Attempt) -> Result<Vec<u8>, String> {
        let selection = &attempt.selection;
        let answer = self.answers.get(&attempt.number).ok_or("there was no answer")?;
        let parent = self.programs.program(selection.parent).map_err(|error| error.to_string())?;
        let form = selection.form.expect("BUG: the journal was checked when it was read");
        document(form, &parent, answer).map_err(|error| error.to_string())
    }

    /// Draws the proposal of an attempt again, compares the document, and returns the operator.
    fn draw_again(
        &self,
        search: &Search,
        attempt: &Attempt,
        recorded: Option<&[u8]>,
    ) -> Result<Option<Operator>, Divergence> {
        let program = |candidate: CandidateId| Ok(self.programs.program(candidate)?.to_string());
        let again = match attempt.selection.proposer {
            Proposer::Model(_) => {
                let document = self.document_of_answer(attempt).ok();
                document.map(|document| ProposalDraft { document, operator: None })
            }
            _ => self.proposers.draw(search, attempt, program)?,
        };
        let document = again.as_ref().map(|drawn| drawn.document.as_slice());
        if recorded == document {
            return Ok(again.and_then(|drawn| drawn.operator));
        }
        let (expected, got) = first_difference(recorded.unwrap_or_default(), document.unwrap_or_default());
        Err(Divergence::Differs { what: "the proposal".to_owned(), expected, got })
    }
}

/// The first line in which two texts differ; with its end, if they differ only there.
fn first_difference(one: &[u8], other: &[u8]) -> (String, String) {
    let lines = |text: &[u8]| text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (one, other) = (lines(one), lines(other));
    let line = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let is_its_end =
        one.get(line).zip(other.get(line)).is_some_and(|(one, other)| one.trim_ascii_end() == other.trim_ascii_end());
    let shown = |lines: &[Vec<u8>]| match lines.get(line) {
        Some(text) => {
            let end: &[u8] = if is_its_end { b"" } else { b"\n" };
            format!("{:?} in line {}", String::from_utf8_lossy(text.strip_suffix(end).unwrap_or(text)), line + 1)
        }
        None if lines.is_empty() => "none".to_owned(),
        None => format!("its end at line {}", line + 1),
    };
    (shown(&one), shown(&other))
}

/// Displays a value by its `Debug`.
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

fn open_attempt(search: &Search, attempt: u64) -> &Attempt {
    let open = search.open_attempts().iter().find(|open| open.number == attempt);
    open.expect("BUG: the journal was checked when it was read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_only_in_the_ends_of_lines_differ() {
        let shown = |one: &[u8], other: &[u8]| {
            let (one, other) = first_difference(one, other);
            format!("{one}, {other}")
        };
        assert_eq!(shown(b"a\nb\n", b"a\nc\n"), "\"b\" in line 2, \"c\" in line 2");
        assert_eq!(shown(b"a\n", b"a\nc\n"), "its end at line 2, \"c\" in line 2");
        assert_eq!(shown(b"a\nb\n", b"a\r\nb\n"), "\"a\\n\" in line 1, \"a\\r\\n\" in line 1");
        assert_eq!(shown(b"a\n", b"a"), "\"a\\n\" in line 1, \"a\" in line 1");
        assert_eq!(shown(b"", b"a\n"), "none, \"a\" in line 1");
    }
}
