//! Testing: simulated proposers, models and judges for a search to run with. No IO and no time: a script sets all
//! probabilities and one key draws everything.
//!
//! The simulation does what a driver does, and what can happen to one: evaluations end in any order, the process dies
//! between any two events, a user interrupts and resumes the run.

use std::collections::BTreeMap;

use packevolve_contract::case::Case;
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::{CaseMeasurement, Evaluation, Measurement, Sample};
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::stream::{Purpose, Stream, stream};
use proptest::prelude::*;
use rand::RngExt;

use crate::search::choosing::Next;
use crate::search::state::{Attempt, Search};
use crate::values::candidate::{BlobId, CandidateId, CommitId};
use crate::values::cost::Charge;
use crate::values::digest::Digest;
use crate::values::event::{
    Asking, CandidateCreated, CorpusEntry, Declined, Event, ExchangeRef, Fingerprint, ModelAsked, Proposer, RunStarted,
    Selection, StopReason,
};
use crate::values::llm_error::LlmError;
use crate::values::place::Place;
use crate::values::raw_text::RawText;
use crate::values::settings::{Consistency, ModelSettings, Parts};
use crate::values::task::Task;

/// The size of a run and the probabilities of everything that can happen in it.
#[derive(Clone, Debug)]
pub struct Script {
    pub key: u64,
    pub candidates: u64,
    pub islands: usize,
    pub population: usize,
    pub slots: usize,
    /// For each document of the corpus the place of the one whose program it edits.
    pub corpus: Vec<Option<usize>>,
    pub mutate: bool,
    pub prune: u64,
    pub models: usize,
    /// The share of requests without an answer; after one the model pauses.
    pub unanswered: f64,
    pub baseline_is_seed: bool,
    pub held_out: usize,
    pub consistency: Consistency,
    /// The share of attempts that make no candidate.
    pub declined: f64,
    /// The share of evaluations that end in a rejection.
    pub rejected: f64,
    /// The share of evaluations that find an inconsistent program.
    pub inconsistent: f64,
    /// The share of measurements in a slot that stays disturbed.
    pub doubtful: f64,
    /// The share of evaluations with a threshold that stop early.
    pub outclassed: f64,
    /// The share of steps at which the process dies, or is interrupted, and resumes.
    pub broken_off: f64,
    /// The share of steps at which a judge is lost, with what it measures.
    pub lost: f64,
}

impl Script {
    /// A run in which nothing goes wrong.
    pub fn smooth() -> Self {
        Self {
            key: 1,
            candidates: 20,
            islands: 2,
            population: 4,
            slots: 2,
            corpus: vec![None, Some(0), None],
            mutate: true,
            prune: 0,
            models: 0,
            unanswered: 0.0,
            baseline_is_seed: true,
            held_out: 3,
            consistency: Consistency::Required,
            declined: 0.0,
            rejected: 0.0,
            inconsistent: 0.0,
            doubtful: 0.0,
            outclassed: 0.0,
            broken_off: 0.0,
            lost: 0.0,
        }
    }

    /// Runs of all kinds.
    pub fn any() -> impl Strategy<Value = Self> {
        let chance = || prop_oneof![Just(0.0), 0.0..1.0, Just(0.99)];
        let parent = |place: usize| (0..=place).prop_map(|parent| parent.checked_sub(1));
        let corpus = (0..6usize).prop_flat_map(move |length| (0..length).map(parent).collect::<Vec<_>>());
        let sizes = (any::<u64>(), 1..40u64, 1..6usize, 1..5usize, corpus);
        let chances = (chance(), chance(), chance(), 0.0..0.1, chance());
        let prune = prop_oneof![Just(0u64), 1..30u64];
        let kinds = (any::<bool>(), any::<bool>(), prop_oneof![Just(0usize), Just(3)], 1..4usize, 0..3usize, prune);
        let seldom = || prop_oneof![Just(0.0), 0.0..0.5];
        let consistency = prop_oneof![Just(Consistency::Required), Just(Consistency::Report)];
        let marks = (seldom(), seldom(), consistency, prop_oneof![Just(0.0), 0.0..0.1]);
        (sizes, kinds, chances, marks).prop_map(|(sizes, kinds, chances, marks)| {
            let (inconsistent, doubtful, consistency, lost) = marks;
            let (mutate, baseline_is_seed, held_out, islands, models, prune) = kinds;
            let (key, candidates, population, slots, corpus) = sizes;
            let (declined, rejected, outclassed, broken_off, unanswered) = chances;
            let sizes = Self { key, candidates, islands, population, slots, corpus, ..Self::smooth() };
            let sizes = Self { models, unanswered, prune, inconsistent, doubtful, consistency, lost, ..sizes };
            Self { mutate, baseline_is_seed, held_out, declined, rejected, outclassed, broken_off, ..sizes }
        })
    }

    /// The first event of such a run.
    pub fn origin(&self) -> RunStarted {
        let mut started = RunStarted::example();
        started.settings.rng_seed = self.key;
        started.settings.search.candidates = self.candidates;
        started.settings.search.islands = self.islands;
        started.settings.search.population_size = self.population;
        started.settings.search.prune_attempts = self.prune;
        // The simulation makes the candidates of all three proposers itself.
        started.settings.search.proposers = Parts { compose: self.mutate, cross: self.mutate, mutate: self.mutate };
        started.settings.judges = vec![Place { restarts: u32::MAX, ..Place::here(self.slots) }];
        started.settings.llm.models = vec![ModelSettings::example(); self.models];
        started.settings.llm.repairs = if self.models > 0 { 2 } else { 0 };
        started.settings.evaluation.held_out_windows = self.held_out;
        started.settings.evaluation.consistency = self.consistency;
        if !self.baseline_is_seed {
            started.baseline = "other\n".to_owned();
        }
        let entry = |(place, parent): (usize, &Option<usize>)| CorpusEntry {
            file: format!("{place}.txt"),
            document: RawText(format!("document {place}").into_bytes()),
            parent: *parent,
        };
        started.corpus = self.corpus.iter().enumerate().map(entry).collect();
        started
    }
}

pub struct World {
    pub search: Search,
    /// All events but the first.
    pub events: Vec<Event>,
    /// For each attempt, the members of each island when it was selected.
    pub seen_at: BTreeMap<u64, Vec<Vec<CandidateId>>>,
    script: Script,
    in_flight: Vec<Task>,
    /// Attempts that wait for their model.
    asked: Vec<Attempt>,
    rng: Stream,
}

impl World {
    pub fn new(script: Script) -> Self {
        let mut world = Self {
            search: Search::new(script.origin()),
            events: Vec::new(),
            seen_at: BTreeMap::new(),
            // None of the search's own purposes: the events must not depend on its draws.
            rng: stream(script.key, 0, Purpose::Loads),
            in_flight: Vec::new(),
            asked: Vec::new(),
            script,
        };
        world.open_slots();
        world
    }

    /// Opens all closed slots.
    pub fn open_slots(&mut self) {
        let closed: Vec<usize> = (0..self.script.slots).filter(|slot| !self.search.places().is_open(*slot)).collect();
        closed.into_iter().for_each(|slot| self.record(Event::SlotOpened { slot, judge: None, baseline: None }));
    }

    /// An open slot; which one does not matter.
    fn slot(&self) -> usize {
        (0..self.script.slots).find(|slot| self.search.places().is_open(*slot)).expect("BUG: no slot is open")
    }

    /// A judge is lost, with a task if all judges have one.
    fn lose(&mut self) {
        let open = self.search.places().open();
        if open == 0 {
            return;
        }
        let has_task = self.in_flight.len() >= open || !self.in_flight.is_empty() && self.chance(0.5);
        let task = has_task.then(|| self.in_flight.swap_remove(self.rng.random_range(0..self.in_flight.len())));
        self.record(Event::SlotLost { slot: self.slot(), reason: String::new(), task, refused: false });
    }

    pub fn finished(script: Script) -> Self {
        let mut world = Self::new(script);
        while world.search.stopped().is_none() {
            world.step();
        }
        world
    }

    /// The state that the events give.
    pub fn replayed(&self) -> Search {
        let mut search = Search::new(self.search.origin().clone());
        self.events.iter().for_each(|event| search.apply(event).unwrap());
        search
    }

    pub fn record(&mut self, event: Event) {
        assert_eq!(self.search.apply(&event), Ok(()), "{event:?}");
        self.events.push(event);
    }

    /// Makes one possible event happen.
    pub fn step(&mut self) {
        if self.chance(self.script.broken_off) {
            return if self.chance(0.5) { self.die() } else { self.interrupt() };
        }
        if self.chance(self.script.lost) {
            return self.lose();
        }
        let open = self.search.places().open();
        if open < self.script.slots && (open == 0 || self.chance(0.5)) {
            return self.open_slots();
        }
        let is_full = self.in_flight.len() >= open;
        let is_busy = !self.in_flight.is_empty() || !self.asked.is_empty();
        if is_busy && self.chance(0.3) {
            return self.advance();
        }
        let task = self.search.tasks().find(|task| !self.in_flight.contains(task));
        if let Some(task) = task.filter(|_| !is_full) {
            if let Task::Duel(contender) = task {
                let seed = self.rng.random();
                self.start_duel(contender, seed);
            }
            return self.in_flight.push(task);
        }
        let next = self.search.next();
        assert_eq!(next, self.search.next(), "asked twice");
        match next {
            Next::Attempt(attempt) if !is_full || is_of_a_model(&attempt.selection) => {
                self.attempt(attempt.number, &attempt.selection);
            }
            Next::Attempt(_) | Next::Wait => self.advance(),
            Next::Stop(reason) => self.record(Event::RunStopped { reason }),
        }
    }

    /// Ends something that is under way: an evaluation, a request, the pause of a model.
    fn advance(&mut self) {
        let models = self.search.models();
        let paused: Vec<usize> = (0..models.count()).filter(|model| models.is_paused(*model)).collect();
        match (self.in_flight.is_empty(), self.asked.is_empty()) {
            (false, true) => self.finish_one(),
            (false, false) if self.chance(0.5) => self.finish_one(),
            (_, false) => self.answer_one(),
            (true, true) => {
                let model = *paused.first().expect("BUG: the search waits for nothing");
                self.record(Event::ModelResumed { model });
            }
        }
    }

    /// Ends one request, with or without an answer.
    fn answer_one(&mut self) {
        let Attempt { number: attempt, selection } = self.asked.swap_remove(self.rng.random_range(0..self.asked.len()));
        let Proposer::Model(model) = selection.proposer else { unreachable!("only models are asked") };
        let error = self.chance(self.script.unanswered).then_some(LlmError::Empty);
        let charge = Charge { nanodollars: self.rng.random_range(0..10_000_000), ..Charge::NONE };
        let (asking, exchange) = (Asking::Proposal(attempt), exchange(attempt));
        let asked = ModelAsked { model, asking, exchange, error: error.clone(), charge };
        self.record(Event::ModelAsked(asked));
        let Some(error) = error else { return self.carry_out(attempt, &selection) };
        let reason = Declined::Unanswered { error: error.clone() };
        self.record(Event::ProposalDeclined { attempt, proposal: None, reason });
        if self.search.models().is_ready(model) {
            let no_key = LlmError::NoKey { variable: "A_KEY".to_owned() };
            let (error, seconds) = if self.chance(0.2) { (no_key, None) } else { (error, Some(1.0)) };
            self.record(Event::ModelPaused { model, error, seconds });
        }
    }

    fn chance(&mut self, share: f64) -> bool {
        self.rng.random::<f64>() < share
    }

    fn attempt(&mut self, attempt: u64, selection: &Selection) {
        let numbers =
            |island: usize| self.search.islands().members(island).iter().map(|member| member.candidate).collect();
        let members = (0..self.script.islands).map(numbers).collect();
        self.seen_at.insert(attempt, members);
        self.record(Event::Selected { attempt, selection: selection.clone() });
        // A death here leaves a selection without an outcome.
        if self.chance(self.script.broken_off) { self.die() } else { self.begin(attempt, selection) }
    }

    fn begin(&mut self, attempt: u64, selection: &Selection) {
        match is_of_a_model(selection) {
            true => self.asked.push(Attempt { number: attempt, selection: selection.clone() }),
            false => self.carry_out(attempt, selection),
        }
    }

    fn carry_out(&mut self, attempt: u64, selection: &Selection) {
        let count = self.search.candidates().len() as u64;
        if self.chance(self.script.declined) {
            let of = CandidateId(self.rng.random_range(0..count));
            let reasons = [Declined::NothingNew, Declined::Duplicate { of }, Declined::NotNovel { of }];
            let reason = reasons[self.rng.random_range(0..3)].clone();
            return self.record(Event::ProposalDeclined { attempt, proposal: None, reason });
        }
        let parents = selection.parents().collect();
        // A proposer may have to use another operator.
        let operators = selection.proposer.operators();
        let operator = operators.get(self.rng.random_range(0..operators.len().max(1))).copied();
        let operator = if self.chance(0.5) { selection.operator } else { operator };
        let size = self.rng.random_range(90..100);
        let created = created(count, attempt, selection.parent);
        let fingerprint = Fingerprint { size, ..created.fingerprint };
        self.record(Event::CandidateCreated(CandidateCreated { parents, operator, fingerprint, ..created }));
    }

    fn finish_one(&mut self) {
        assert!(!self.in_flight.is_empty(), "BUG: the search waits for nothing");
        let task = self.in_flight.swap_remove(self.rng.random_range(0..self.in_flight.len()));
        let event = match task {
            Task::Baseline => self.baseline(),
            Task::Evaluate(candidate) | Task::Complete(candidate) => {
                let evaluation = self.evaluation(candidate);
                let partial = evaluation.measurement().is_some() && self.search.is_measured_partially(candidate);
                Event::CandidateEvaluated { candidate, slot: self.slot(), evaluation, partial }
            }
            Task::Duel(contender) => Event::DuelEnded { contender, duel: Box::new(self.duel()), slot: self.slot() },
        };
        self.record(event);
    }

    /// Starts a duel of a contender with the program that it has to beat.
    pub fn start_duel(&mut self, contender: CandidateId, seed: u64) {
        let best = self.search.opponent(contender).expect("BUG: a contender has someone to beat").candidate;
        self.record(Event::DuelStarted { contender, best, seed });
    }

    /// The baseline measured.
    pub fn baseline(&self) -> Event {
        let measurement = measurement(&self.search.origin().cases, |_, window| sample(window, 0.02, 0.1));
        Event::BaselineEvaluated { slot: self.slot(), measurement, inconsistencies: Vec::new() }
    }

    fn evaluation(&mut self, candidate: CandidateId) -> Evaluation {
        if self.chance(self.script.rejected) {
            return rejected();
        }
        let threshold = self.search.candidate(candidate).and_then(|known| known.outclassed_below);
        if let Some(threshold) = threshold
            && self.chance(self.script.outclassed)
        {
            return Evaluation::Outclassed { measurement: Measurement::default(), at_best: threshold - 0.1 };
        }
        let measurement = self.measurement();
        match self.chance(self.script.inconsistent) {
            true => Evaluation::Inconsistent { inconsistencies: vec![inconsistency()], measurement },
            false => Evaluation::Measured { measurement },
        }
    }

    fn duel(&mut self) -> Duel {
        let [contender, best] = [(); 2].map(|()| match self.chance(self.script.rejected) {
            true => rejected(),
            false => Evaluation::Measured { measurement: self.measurement() },
        });
        Duel { contender, best }
    }

    fn measurement(&mut self) -> Measurement {
        // Few values, so that some scores are equal.
        let gap = [0.0, 0.01, 0.02, 0.04][self.rng.random_range(0..4)];
        let doubtful = self.chance(self.script.doubtful).then(|| "8->4".to_owned()).into_iter().collect();
        let rng = &mut self.rng;
        let time = [0.001, 0.01, 0.1, 1.0][rng.random_range(0..4)];
        // Measurements from exact to very noisy.
        let noise = [0.0, 0.01, 3.0][rng.random_range(0..3)];
        let mut measurement = measurement(&self.search.origin().cases, |_, window| {
            sample(window, gap, time * (1.0 + noise * rng.random::<f64>()))
        });
        measurement.calibration.doubtful = doubtful;
        measurement
    }

    /// The process dies, and another one resumes from the events.
    fn die(&mut self) {
        self.in_flight.clear();
        self.asked.clear();
        self.search = self.replayed();
        self.resume(self.script.candidates);
    }

    /// A user stops the run, which drops its requests, and resumes it.
    fn interrupt(&mut self) {
        self.asked.clear();
        while !self.in_flight.is_empty() {
            self.finish_one();
        }
        self.record(Event::RunStopped { reason: StopReason::Interrupted });
        self.resume(self.script.candidates);
    }

    /// Resumes with this limit of candidates.
    pub fn resume(&mut self, candidates: u64) {
        self.record(Event::RunResumed { candidates });
        self.open_slots();
        for open in self.search.open_attempts().to_vec() {
            self.begin(open.number, &open.selection);
        }
    }
}

pub fn is_of_a_model(selection: &Selection) -> bool {
    matches!(selection.proposer, Proposer::Model(_))
}

/// A candidate with a program of its own.
pub fn created(number: u64, attempt: u64, parent: CandidateId) -> CandidateCreated {
    CandidateCreated {
        candidate: CandidateId(number),
        attempt,
        name: format!("edit_{number}"),
        parents: vec![parent],
        proposal: RawText::default(),
        fingerprint: Fingerprint {
            commit: CommitId(blob(number).0),
            program: blob(number),
            normalised: blob(number),
            size: 0,
        },
        operator: None,
    }
}

pub fn exchange(number: u64) -> ExchangeRef {
    ExchangeRef { offset: number, digest: Digest::of(&number.to_be_bytes()) }
}

pub fn blob(number: u64) -> BlobId {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BlobId(bytes)
}

pub fn rejected() -> Evaluation {
    let rejection = Rejection::Hang { limit_seconds: 1.0 };
    Evaluation::Rejected { rejection, evidence: Evidence::default() }
}

pub fn inconsistency() -> Inconsistency {
    Inconsistency::Rows { case: "8->4".to_owned(), rows: 1, of: 4 }
}

/// Three windows of each case.
pub fn measurement(cases: &[Case], mut sample: impl FnMut(&Case, usize) -> Sample) -> Measurement {
    let mut case = |case: &Case| CaseMeasurement {
        case: case.to_string(),
        samples: (0..3).map(|window| sample(case, window)).collect(),
    };
    Measurement { cases: cases.iter().map(&mut case).collect(), ..Measurement::default() }
}

/// A call with this gap and time, beside a reference of 10 ms.
pub fn sample(window: usize, gap: f64, seconds: f64) -> Sample {
    Sample {
        window,
        mean_load: 100.0,
        max_load: 100.0 * (1.0 + gap),
        bound: 100.0,
        worst_row_gap: gap,
        seconds,
        wall_seconds: seconds,
        reference_seconds: 0.01,
        ..Sample::default()
    }
}
