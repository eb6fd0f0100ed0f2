//! Replay: makes a candidate, or a whole run, again from the program that the run started from, and says where the
//! record and what comes of it part. The same functions as in a live run; nothing is written.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use packevolve_contract::case;
use packevolve_contract::evaluation::{Evaluation, Measurement, Sample};
use packevolve_contract::protocol::{EvaluateRequest, WindowSet};
use packevolve_contract::statistic::median;
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::candidate::{CandidateId, CommitId};
use crate::derive::{Derived, Descent, Novel, derive, normalised_id, novel};
use crate::event::{
    Asking, CandidateCreated, CorpusEntry, Declined, Event, ModelAsked, Proposer, RunStarted, Selection, StopReason,
};
use crate::journal::Entry;
use crate::judge::{self, Judge, JudgeError};
use crate::propose::{ProposeError, Proposers};
use crate::proposer::corpus::{self, Document};
use crate::proposer::llm::document::document;
use crate::proposer::llm::reply;
use crate::repository::{Kept, Repository, RepositoryError, Written};
use crate::run::{self, Run};
use crate::search::{Next, Search, Subject, Task};

/// The record and what comes of it are not the same.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum Divergence {
    #[error("{what}: the record has {expected}, replay gives {got}")]
    Differs { what: String, expected: String, got: String },
    #[error("event {seq}, {divergence}")]
    At { seq: u64, divergence: Box<Divergence> },
    #[error("candidate {candidate} ({name}) does not come of its proposal any more: {reason}")]
    NotDerived { candidate: CandidateId, name: String, reason: String },
    #[error(transparent)]
    Archive(#[from] RepositoryError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
}

/// One candidate made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its number.
    pub candidate: CandidateId,
    /// NAME of its proposal.
    pub name: String,
    /// Its commit, as recorded and as made again.
    pub commit: CommitId,
}

/// A candidate measured again.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Remeasured {
    /// Its calls came out as before.
    Calls {
        /// How many; their loads are equal to the last digit.
        equal: usize,
        /// Time now over time then, both relative to the reference program; median over all calls.
        time_ratio: f64,
    },
    /// It is rejected, as before.
    Rejected,
    /// The run ended before it was judged.
    NeverJudged,
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
    let mut line = vec![candidate];
    while let Some(parent) = line.last().and_then(|last| run.search.candidate(*last)?.parents.first().copied()) {
        line.push(parent);
    }
    line.reverse();
    let mut maker = Maker::new(&run.search, repository)?;
    line.iter().map(|candidate| maker.make(&run.search, *candidate)).collect()
}

/// Makes the whole run again: what it started from, every decision, every proposal that was drawn, every candidate, in the
/// order in which one comes of the other; last the refs, if it came to an orderly end. What was measured is taken as it
/// stands: [`measure`] asks that.
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
        let search = Search::new(run.search.started().clone());
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
        self.search.apply(&entry.event);
        self.dispatch();
        Ok(())
    }

    /// What the settings and the archived texts make of the start.
    fn started(&mut self, started: &RunStarted) -> Result<(), Divergence> {
        let settings = &started.settings;
        let evaluation = &settings.evaluation;
        let again =
            case::cases(&evaluation.topology, &evaluation.global_cases, evaluation.random_cases, settings.rng_seed);
        let again = again.unwrap_or_default();
        same(|| "the cases".into(), &Shown(&started.cases), &Shown(&again))?;
        self.repository.read_blob(started.baseline)?;
        self.steps.push(self.maker.make(&self.run.search, CandidateId::SEED)?);
        let seed = &self.maker.programs[&CandidateId::SEED];
        same(|| "the seed program without names".into(), &started.normalised, &normalised_id(seed))?;
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
        let free = self.search.started().settings.search.slots.saturating_sub(self.in_flight.len());
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
        let waits = self.in_flight.len() >= self.search.started().settings.search.slots;
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
        let proposal = self.repository.proposal(created.commit)?.unwrap_or_default();
        self.maker.draw_again(&self.search, created.attempt, &selection, Some(&proposal))?;
        self.maker.answers.remove(&created.attempt);
        let parent = &self.maker.programs[&selection.parent];
        let what = |part: &str| format!("the {part} of candidate {}", created.candidate);
        match novel(&self.search, parent, &proposal) {
            Err(reason) => {
                let (expected, got) = (format!("candidate {}", created.candidate), reason.to_string());
                return same(|| "what came of the proposal".into(), &expected, &got);
            }
            Ok(Novel { derived, normalised }) => {
                same(|| what("name"), &created.name, &derived.proposal.name)?;
                same(|| what("program without names"), &created.normalised, &normalised)?;
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
        let mut kept = Kept::new(self.search.started().epoch);
        self.run.entries.iter().for_each(|entry| run::keep_named(&mut kept, &entry.event));
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

/// Has a candidate judged again as the run did, and compares: loads to the last digit, time as a ratio.
///
/// # Errors
/// The first call whose loads differ, another outcome, or a judge that cannot work.
pub async fn measure(run: &Run, repository: &Repository, candidate: CandidateId) -> Result<Remeasured, Divergence> {
    let recorded = evaluations_of(run, candidate);
    if recorded.is_empty() {
        return Ok(Remeasured::NeverJudged);
    }
    let started = run.search.started();
    let settings = &started.settings;
    let session = judge::session(&settings.evaluation, &started.cases, settings.rng_seed, None);
    let mut judge = Judge::open_hiding(session, &settings.llm.key_variables()).await?;
    let ready = judge.ready();
    same(|| "the loads".to_owned(), &started.judge.loads_digest, &ready.loads_digest)?;
    same(|| "the device".to_owned(), &started.judge.device, &ready.device)?;
    same(|| "the version of torch".to_owned(), &started.judge.torch, &ready.torch)?;
    let known = run.search.candidate(candidate).expect("BUG: the candidate was found in the run");
    let program = repository.program(known.commit, &started.file_name)?;
    let mut ratios = Vec::new();
    for (windows, then) in recorded {
        let again = judge.evaluate(request(run, candidate, &program, windows)).await?;
        match (then.measurement(), again.measurement()) {
            (Some(then), Some(now)) => ratios.extend(compare(then, now)?),
            _ => same(|| format!("how candidate {candidate} is judged"), &kind(&then), &kind(&again))?,
        }
    }
    if ratios.is_empty() {
        return Ok(Remeasured::Rejected);
    }
    Ok(Remeasured::Calls { equal: ratios.len(), time_ratio: median(ratios.into_iter()) })
}

/// What has a candidate judged as in the run, in full.
fn request(run: &Run, candidate: CandidateId, program: &str, windows: WindowSet) -> EvaluateRequest {
    let started = run.search.started();
    let evaluation = &started.settings.evaluation;
    EvaluateRequest {
        candidate: candidate.0,
        file_name: started.file_name.clone(),
        program: program.to_owned(),
        windows,
        budget_seconds: evaluation.budget_seconds,
        limits: Some(evaluation.limits.times(run.search.baseline())),
        outclassed: None,
        rebalance: false,
    }
}

/// All that is recorded of a candidate, with the windows that it was measured on.
fn evaluations_of(run: &Run, candidate: CandidateId) -> Vec<(WindowSet, Evaluation)> {
    let measured = |measurement: &Measurement| Evaluation::Measured { measurement: measurement.clone() };
    let is_baseline = candidate == CandidateId::SEED && run.search.baseline_is_seed();
    let of = |event: &Event| {
        Some(match event {
            Event::CandidateEvaluated { candidate: of, evaluation } => (*of, WindowSet::Search, evaluation.clone()),
            Event::Confirmed { candidate: of, measurement } => (*of, WindowSet::HeldOut, measured(measurement)),
            Event::Refuted { candidate: of, evaluation } => (*of, WindowSet::HeldOut, evaluation.clone()),
            Event::BaselineEvaluated { measurement } if is_baseline => {
                (candidate, WindowSet::Search, measured(measurement))
            }
            Event::BaselineHeldOut { measurement } if is_baseline => {
                (candidate, WindowSet::HeldOut, measured(measurement))
            }
            _ => return None,
        })
    };
    let all = run.entries.iter().filter_map(|entry| of(&entry.event));
    all.filter(|(of, ..)| *of == candidate).map(|(_, windows, evaluation)| (windows, evaluation)).collect()
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
        let started = search.started();
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
        let kind = selection.kind.expect("BUG: the journal was checked when it was read");
        document(kind, &self.programs[&selection.parent], answer).map_err(|error| error.to_string())
    }

    /// Asks the proposer of an attempt again and compares the document.
    fn draw_again(
        &self,
        search: &Search,
        attempt: u64,
        selection: &Selection,
        recorded: Option<&[u8]>,
    ) -> Result<(), Divergence> {
        let program = |candidate: CandidateId| Ok::<_, RepositoryError>(self.programs[&candidate].clone());
        let again = match selection.proposer {
            Proposer::Model(_) => self.document_of_answer(attempt, selection).ok(),
            _ => self.proposers.draw(search, self.repository, (attempt, selection), program)?,
        };
        if recorded == again.as_deref() {
            return Ok(());
        }
        let (expected, got) = first_difference(recorded.unwrap_or_default(), again.as_deref().unwrap_or_default());
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

fn same<T: PartialEq + fmt::Display>(what: impl Fn() -> String, expected: &T, got: &T) -> Result<(), Divergence> {
    if expected == got {
        return Ok(());
    }
    Err(Divergence::Differs { what: what(), expected: expected.to_string(), got: got.to_string() })
}

fn selection_of(search: &Search, attempt: u64) -> &Selection {
    let open = search.open_attempts().iter().find(|(open, _)| *open == attempt);
    &open.expect("BUG: the journal was checked when it was read").1
}

fn kind(evaluation: &Evaluation) -> &'static str {
    evaluation.rejection().map_or("measured", |rejection| rejection.kind())
}

/// Compares all calls that both made; time now over time then of each, relative to the reference program.
fn compare(then: &Measurement, now: &Measurement) -> Result<Vec<f64>, Divergence> {
    let mut ratios = Vec::new();
    for case in &then.cases {
        let before = ratios.len();
        for (attempt, old) in attempts(then, &case.case) {
            let made = attempts(now, &case.case);
            let same_call = made.iter().find(|(other, new)| *other == attempt && new.window == old.window);
            let Some((_, new)) = same_call else { continue };
            let what = |load: &str| format!("{load} load of {}, window {}", case.case, old.window);
            same(|| what("mean"), &old.mean_load, &new.mean_load)?;
            same(|| what("heaviest"), &old.max_load, &new.max_load)?;
            same(|| what("bound on the heaviest"), &old.bound, &new.bound)?;
            same(
                || format!("worst gap of a row of {}, window {}", case.case, old.window),
                &old.worst_row_gap,
                &new.worst_row_gap,
            )?;
            if let (Some(old), Some(new)) = (old.next, new.next) {
                same(|| what("next window's mean"), &old.mean_load, &new.mean_load)?;
                same(|| what("next window's heaviest"), &old.max_load, &new.max_load)?;
            }
            ratios.push((new.seconds / new.reference_seconds) / (old.seconds / old.reference_seconds));
        }
        if ratios.len() == before {
            let what = format!("the calls of {}", case.case);
            let windows = |calls: Vec<(usize, &Sample)>| {
                let windows: BTreeSet<usize> = calls.iter().map(|(_, sample)| sample.window).collect();
                format!("windows {windows:?}")
            };
            let (expected, got) = (windows(attempts(then, &case.case)), windows(attempts(now, &case.case)));
            return Err(Divergence::Differs { what, expected, got });
        }
    }
    Ok(ratios)
}

/// The calls of a case with the number of the attempt on their window. Which ones were void is chance; an attempt of
/// the same number was given the same order and seed.
fn attempts<'a>(measurement: &'a Measurement, case: &str) -> Vec<(usize, &'a Sample)> {
    let voided = measurement.calibration.voided.iter().filter(|voided| voided.case == case);
    let mut all: Vec<(usize, &Sample)> = Vec::new();
    for sample in voided.map(|voided| &voided.sample).chain(measurement.samples(case)) {
        let earlier = all.iter().filter(|(_, other)| other.window == sample.window).count();
        all.push((earlier, sample));
    }
    all
}

#[cfg(test)]
mod tests {
    use packevolve_contract::evaluation::{Calibration, CaseMeasurement, Voided};

    use super::*;

    fn sample(window: usize, max_load: f64) -> Sample {
        Sample {
            window,
            mean_load: 1.0,
            max_load,
            bound: 1.0,
            worst_row_gap: 0.0,
            seconds: 0.01,
            wall_seconds: 0.01,
            reference_seconds: 0.001,
            ..Sample::default()
        }
    }

    /// What two windows of a case gave: first the attempts that were void, last the one that counts.
    fn measured(windows: [&[f64]; 2]) -> Measurement {
        let (mut voided, mut samples) = (Vec::new(), Vec::new());
        for (window, loads) in windows.into_iter().enumerate() {
            let (last, earlier) = loads.split_last().unwrap();
            voided.extend(earlier.iter().map(|load| Voided { case: "8->4".to_owned(), sample: sample(window, *load) }));
            samples.push(sample(window, *last));
        }
        Measurement {
            cases: vec![CaseMeasurement { case: "8->4".to_owned(), samples }],
            calibration: Calibration { voided, ..Calibration::default() },
            ..Measurement::default()
        }
    }

    #[test]
    fn calls_are_compared_with_those_of_the_same_attempt_whichever_of_them_were_void() {
        let then = measured([&[2.0, 3.0], &[4.0]]);
        let now = measured([&[2.0], &[4.0, 5.0, 6.0]]);
        assert_eq!(compare(&then, &now).unwrap(), [1.0, 1.0]);
        assert_eq!(compare(&now, &then).unwrap(), [1.0, 1.0]);
        let mut elsewhere = then.clone();
        elsewhere.calibration.voided.clear();
        elsewhere.cases[0].samples.iter_mut().for_each(|sample| sample.window += 40);
        let error = compare(&elsewhere, &now).unwrap_err().to_string();
        assert_eq!(error, "the calls of 8->4: the record has windows {40, 41}, replay gives windows {0, 1}");
        let error = compare(&then, &measured([&[3.0], &[4.0]])).unwrap_err();
        assert_eq!(error.to_string(), "heaviest load of 8->4, window 0: the record has 2, replay gives 3");
    }
}
