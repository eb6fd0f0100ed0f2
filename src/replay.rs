//! Replay: makes a candidate, or a whole run, again from the program that the run started from, and says where the
//! record and what comes of it part. The same functions as in a live run; nothing is written.

use std::collections::HashMap;
use std::fmt;

use packevolve_contract::evaluation::{Evaluation, Measurement, Sample};
use packevolve_contract::protocol::{EvaluateRequest, WindowSet};
use packevolve_contract::statistic::median;
use serde::Serialize;
use thiserror::Error;

use crate::candidate::{CandidateId, CommitId};
use crate::derive::{Derived, Descent, derive};
use crate::event::{Asking, Declined, Event, ModelAsked, Proposer, RunStarted, Selection};
use crate::judge::{self, Judge, JudgeError};
use crate::operator::Operator;
use crate::propose::{Drawn, ProposeError, Proposers};
use crate::proposer::llm::document::document;
use crate::proposer::llm::reply;
use crate::proposer::{normalised, size};
use crate::repository::{Repository, RepositoryError, Written};
use crate::run::Run;
use crate::search::{Next, Search};

/// The record and what comes of it are not the same.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum Divergence {
    #[error("{what}: the record has {expected}, replay gives {got}")]
    Differs { what: String, expected: String, got: String },
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

/// Makes the whole run again: every decision, every proposal that was drawn, every candidate.
///
/// # Errors
/// The first difference, with the number of its event.
pub fn whole(run: &Run, repository: &Repository) -> Result<Vec<Step>, Divergence> {
    let started = run.search.started();
    let mut search = Search::new(started.clone());
    let mut maker = Maker::new(&run.search, repository)?;
    let mut steps = vec![maker.make(&run.search, CandidateId::SEED)?];
    repository.read_blob(started.baseline)?;
    for entry in &run.entries[1..] {
        let at = |what: &str| format!("event {}, {what}", entry.seq);
        match &entry.event {
            Event::Selected { attempt, selection } => {
                let recorded = Next::Attempt { attempt: *attempt, selection: selection.clone() };
                same(|| at("what to try next"), &Shown(&recorded), &Shown(&search.next()))?;
            }
            Event::CandidateCreated(created) => {
                let selection = selection_of(&search, created.attempt);
                let proposal = repository.proposal(created.commit)?.unwrap_or_default();
                let again =
                    maker.draw_again(&search, created.attempt, selection, Some(&proposal), &at("the proposal"))?;
                same(|| at("what the proposer did"), &Shown(&created.operator), &Shown(&again))?;
                maker.answers.remove(&created.attempt);
                steps.push(maker.make(&run.search, created.candidate)?);
                let again = size(&normalised(&maker.programs[&created.candidate]));
                same(|| at("the size of the program"), &created.size, &again)?;
            }
            Event::ModelAsked(asked) => maker.hear(asked)?,
            Event::ProposalDeclined { attempt, reason: Declined::Unanswered { .. }, .. } => {
                maker.answers.remove(attempt);
            }
            Event::ProposalDeclined { attempt, proposal, reason } => {
                let selection = selection_of(&search, *attempt);
                let document = proposal.map(|id| repository.read_blob(id)).transpose()?;
                if let Declined::Unusable { error } = reason {
                    let again = maker.document_of_answer(*attempt, selection).err();
                    same(|| at("what is wrong with the answer"), &Shown(&Some(error.clone())), &Shown(&again))?;
                }
                maker.draw_again(&search, *attempt, selection, document.as_deref(), &at("the proposal"))?;
                maker.answers.remove(attempt);
            }
            _ => {}
        }
        search.apply(&entry.event);
    }
    Ok(steps)
}

/// Has a candidate judged again as the run did, and compares: loads to the last digit, time as a ratio.
///
/// # Errors
/// The first call whose loads differ, another outcome, or a judge that cannot work.
pub async fn measure(run: &Run, repository: &Repository, candidate: CandidateId) -> Result<Remeasured, Divergence> {
    let Some(recorded) = evaluation_of(run, candidate) else {
        return Ok(Remeasured::NeverJudged);
    };
    let started = run.search.started();
    let settings = &started.settings;
    let session = judge::session(&settings.evaluation, &started.cases, settings.rng_seed, None);
    let mut judge = Judge::open_hiding(session, &settings.llm.key_variables()).await?;
    let ready = judge.ready();
    same(|| "the loads".to_owned(), &started.judge.loads_digest, &ready.loads_digest)?;
    same(|| "the device".to_owned(), &started.judge.device, &ready.device)?;
    same(|| "the version of torch".to_owned(), &started.judge.torch, &ready.torch)?;
    let known = run.search.candidate(candidate).expect("BUG: the candidate was found in the run");
    let request = EvaluateRequest {
        candidate: candidate.0,
        file_name: started.file_name.clone(),
        program: repository.program(known.commit, &started.file_name)?,
        windows: WindowSet::Search,
        budget_seconds: settings.evaluation.budget_seconds,
        limits: Some(settings.evaluation.limits.times(run.search.baseline())),
        outclassed: None,
        rebalance: false,
    };
    let again = judge.evaluate(request).await?;
    match (recorded.measurement(), again.measurement()) {
        (Some(then), Some(now)) => compare(then, now),
        _ => {
            same(|| format!("how candidate {candidate} is judged"), &kind(&recorded), &kind(&again))?;
            Ok(Remeasured::Rejected)
        }
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

    /// Asks the proposer of an attempt again and compares the document; what the proposer did.
    fn draw_again(
        &self,
        search: &Search,
        attempt: u64,
        selection: &Selection,
        recorded: Option<&[u8]>,
        what: &str,
    ) -> Result<Option<Operator>, Divergence> {
        let program = |candidate: CandidateId| Ok::<_, RepositoryError>(self.programs[&candidate].clone());
        let again = match selection.proposer {
            Proposer::Model(_) => {
                let document = self.document_of_answer(attempt, selection).ok();
                document.map(|document| Drawn { document, operator: None })
            }
            _ => self.proposers.draw(search, self.repository, (attempt, selection), program)?,
        };
        let document = again.as_ref().map(|drawn| text(&drawn.document));
        same(|| what.to_owned(), &Shown(&recorded.map(text)), &Shown(&document))?;
        Ok(again.and_then(|drawn| drawn.operator))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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

/// Compares all calls that both made.
fn compare(then: &Measurement, now: &Measurement) -> Result<Remeasured, Divergence> {
    let mut ratios = Vec::new();
    for case in &then.cases {
        for (attempt, old) in attempts(then, &case.case) {
            let made = attempts(now, &case.case);
            let same_call = made.iter().find(|(other, new)| *other == attempt && new.window == old.window);
            let Some((_, new)) = same_call else { continue };
            let what = |load: &str| format!("{load} load of {}, window {}", case.case, old.window);
            same(|| what("mean"), &old.mean_load, &new.mean_load)?;
            same(|| what("heaviest"), &old.max_load, &new.max_load)?;
            same(|| what("bound on the heaviest"), &old.bound, &new.bound)?;
            ratios.push((new.seconds / new.reference_seconds) / (old.seconds / old.reference_seconds));
        }
    }
    Ok(Remeasured::Calls { equal: ratios.len(), time_ratio: median(ratios.into_iter()) })
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
        assert_eq!(compare(&then, &now).unwrap(), Remeasured::Calls { equal: 2, time_ratio: 1.0 });
        assert_eq!(compare(&now, &then).unwrap(), Remeasured::Calls { equal: 2, time_ratio: 1.0 });
        let error = compare(&then, &measured([&[3.0], &[4.0]])).unwrap_err();
        assert_eq!(error.to_string(), "heaviest load of 8->4, window 0: the record has 2, replay gives 3");
    }
}
