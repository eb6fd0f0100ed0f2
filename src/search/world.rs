//! World: proposers, archive and judges as chance would have them, for a search to run in. No IO and no time: a script
//! says how likely everything is, and one key draws it all.
//!
//! Does what a driver does, and what may happen to one: evaluations end in any order, the process dies between any two
//! events, somebody interrupts the run and resumes it.

use std::collections::BTreeMap;

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::{CaseMeasurement, Evaluation, Measurement, Sample};
use packevolve_contract::protocol::WindowSet;
use packevolve_contract::rejection::{Evidence, Rejection};
use packevolve_contract::stream::{Purpose, Stream, stream};
use proptest::prelude::*;
use rand::RngExt;

use crate::search::state::{Next, Search, Subject, Task};
use crate::values::candidate::{BlobId, CandidateId, CommitId};
use crate::values::cost::Charge;
use crate::values::event::{
    Asking, CandidateCreated, CorpusEntry, Declined, Event, ModelAsked, Proposer, RunStarted, Selection, StopReason,
};
use crate::values::llm_error::LlmError;
use crate::values::settings::{ModelSettings, Parts};

/// What happens how often.
#[derive(Clone, Debug)]
pub struct Script {
    /// Draws everything.
    pub key: u64,
    /// Candidates of the run.
    pub candidates: u64,
    /// Populations.
    pub islands: usize,
    /// Room in each.
    pub population: usize,
    /// Evaluations at the same time.
    pub slots: usize,
    /// For each document of the corpus the place of the one whose program it edits.
    pub corpus: Vec<Option<usize>>,
    /// Whether there are mutations.
    pub mutate: bool,
    /// Attempts to prune a best.
    pub prune: u64,
    /// Language models.
    pub models: usize,
    /// How many answers of theirs are none, after which a model is left alone.
    pub unanswered: f64,
    /// Whether the seed program is the baseline too.
    pub baseline_is_seed: bool,
    /// Windows that are held out.
    pub held_out: usize,
    /// How many attempts make no candidate.
    pub declined: f64,
    /// How many evaluations end in a rejection.
    pub rejected: f64,
    /// How many of those that may stop early do.
    pub outclassed: f64,
    /// How many steps the process dies or is interrupted at, and resumed.
    pub broken_off: f64,
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
            declined: 0.0,
            rejected: 0.0,
            outclassed: 0.0,
            broken_off: 0.0,
        }
    }

    /// All kinds of runs.
    pub fn any() -> impl Strategy<Value = Self> {
        let chance = || prop_oneof![Just(0.0), 0.0..1.0, Just(0.99)];
        let parent = |place: usize| (0..=place).prop_map(|parent| parent.checked_sub(1));
        let corpus = (0..6usize).prop_flat_map(move |length| (0..length).map(parent).collect::<Vec<_>>());
        let sizes = (any::<u64>(), 1..40u64, 1..6usize, 1..5usize, corpus);
        let chances = (chance(), chance(), chance(), 0.0..0.1, chance());
        let prune = prop_oneof![Just(0u64), 1..30u64];
        let kinds = (any::<bool>(), any::<bool>(), prop_oneof![Just(0usize), Just(3)], 1..4usize, 0..3usize, prune);
        (sizes, kinds, chances).prop_map(|(sizes, kinds, chances)| {
            let (mutate, baseline_is_seed, held_out, islands, models, prune) = kinds;
            let (key, candidates, population, slots, corpus) = sizes;
            let (declined, rejected, outclassed, broken_off, unanswered) = chances;
            let sizes = Self { key, candidates, islands, population, slots, corpus, ..Self::smooth() };
            let sizes = Self { models, unanswered, prune, ..sizes };
            Self { mutate, baseline_is_seed, held_out, declined, rejected, outclassed, broken_off, ..sizes }
        })
    }

    /// The first event of such a run.
    pub fn started(&self) -> RunStarted {
        let mut started = RunStarted::example();
        started.settings.rng_seed = self.key;
        started.settings.search.candidates = self.candidates;
        started.settings.search.islands = self.islands;
        started.settings.search.population = self.population;
        started.settings.search.prune = self.prune;
        // Compose and cross need nothing that mutate does not; the world makes what nobody proposed.
        started.settings.search.proposers = Parts { compose: self.mutate, cross: self.mutate, mutate: self.mutate };
        started.settings.search.slots = self.slots;
        started.settings.llm.models = vec![ModelSettings::example(); self.models];
        // Without models nothing of them is on record.
        started.settings.llm.repairs = if self.models > 0 { 2 } else { 0 };
        started.settings.evaluation.held_out = self.held_out;
        if !self.baseline_is_seed {
            started.baseline = BlobId::from_bytes([255; 20]);
        }
        let entry = |(place, parent): (usize, &Option<usize>)| CorpusEntry {
            file: format!("{place}.txt"),
            proposal: blob(1000 + place as u64),
            parent: *parent,
        };
        started.corpus = self.corpus.iter().enumerate().map(entry).collect();
        started
    }
}

/// A run under way.
pub struct World {
    /// The state, taken along live.
    pub search: Search,
    /// All that happened after the run had started.
    pub events: Vec<Event>,
    /// For each attempt, the members of each island when it was selected.
    pub seen_at: BTreeMap<u64, Vec<Vec<CandidateId>>>,
    script: Script,
    in_flight: Vec<Task>,
    /// Attempts whose model has not answered yet.
    asked: Vec<(u64, Selection)>,
    rng: Stream,
}

impl World {
    /// A run that has just started.
    pub fn new(script: Script) -> Self {
        Self {
            search: Search::new(script.started()),
            events: Vec::new(),
            seen_at: BTreeMap::new(),
            // Purposes of the search itself are not drawn from: what happens does not depend on what is selected.
            rng: stream(script.key, 0, Purpose::Loads),
            in_flight: Vec::new(),
            asked: Vec::new(),
            script,
        }
    }

    /// The run from its start to its end.
    pub fn finished(script: Script) -> Self {
        let mut world = Self::new(script);
        while world.search.stopped().is_none() {
            world.step();
        }
        world
    }

    /// The state that the events alone give.
    pub fn replayed(&self) -> Search {
        let mut search = Search::new(self.search.started().clone());
        self.events.iter().for_each(|event| search.apply(event));
        search
    }

    /// Makes an event happen.
    pub fn record(&mut self, event: Event) {
        assert_eq!(self.search.check(&event), Ok(()), "{event:?}");
        self.search.apply(&event);
        self.events.push(event);
    }

    /// Lets one of the things happen that can happen now.
    pub fn step(&mut self) {
        if self.chance(self.script.broken_off) {
            return if self.chance(0.5) { self.die() } else { self.interrupt() };
        }
        let is_full = self.in_flight.len() >= self.script.slots;
        let is_busy = !self.in_flight.is_empty() || !self.asked.is_empty();
        if is_busy && self.chance(0.3) {
            return self.go_on();
        }
        let task = self.search.tasks().find(|task| !self.in_flight.contains(task));
        if let Some(task) = task.filter(|_| !is_full) {
            return self.in_flight.push(task);
        }
        let next = self.search.next();
        assert_eq!(next, self.search.next(), "asked twice");
        match next {
            Next::Attempt { attempt, selection } if !is_full || is_of_a_model(&selection) => {
                self.attempt(attempt, &selection);
            }
            Next::Attempt { .. } | Next::Wait => self.go_on(),
            Next::Stop(reason) => self.record(Event::RunStopped { reason }),
        }
    }

    /// Something ends that is under way: an evaluation, a request, the pause of a model.
    fn go_on(&mut self) {
        let models = self.search.models();
        let paused: Vec<usize> = (0..models.count()).filter(|model| models.is_paused(*model)).collect();
        match (self.in_flight.is_empty(), self.asked.is_empty()) {
            (false, true) => self.finish_one(),
            (false, false) if self.chance(0.5) => self.finish_one(),
            (_, false) => self.answer_one(),
            (true, true) => {
                let model = *paused.first().expect("the search waits for nothing");
                self.record(Event::ModelResumed { model });
            }
        }
    }

    /// One of the models that were asked answers, or does not.
    fn answer_one(&mut self) {
        let (attempt, selection) = self.asked.swap_remove(self.rng.random_range(0..self.asked.len()));
        let Proposer::Model(model) = selection.proposer else { unreachable!("only models are asked") };
        let error = self.chance(self.script.unanswered).then_some(LlmError::Empty);
        let charge = Charge { nanodollars: self.rng.random_range(0..10_000_000), ..Charge::NONE };
        let (asking, request) = (Asking::Proposal(attempt), blob(attempt));
        let asked = ModelAsked { model, asking, request, reply: None, error: error.clone(), charge };
        self.record(Event::ModelAsked(asked));
        let Some(error) = error else { return self.carry_out(attempt, &selection) };
        let reason = Declined::Unanswered { error: error.clone() };
        self.record(Event::ProposalDeclined { attempt, proposal: None, reason });
        if self.search.models().is_ready(model) {
            let no_key = LlmError::NoKey { variable: "A_KEY".to_owned() };
            let error = if self.chance(0.2) { no_key } else { error };
            self.record(Event::ModelPaused { model, error });
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
        // A process that dies here leaves a selection without an outcome.
        if self.chance(self.script.broken_off) { self.die() } else { self.begin(attempt, selection) }
    }

    /// Offline something comes of an attempt at once, of a model's later.
    fn begin(&mut self, attempt: u64, selection: &Selection) {
        match is_of_a_model(selection) {
            true => self.asked.push((attempt, selection.clone())),
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
        // Not every proposer can always do what it is asked for.
        let operators = selection.proposer.operators();
        let operator = operators.get(self.rng.random_range(0..operators.len().max(1))).copied();
        let operator = if self.chance(0.5) { selection.operator } else { operator };
        let size = self.rng.random_range(90..100);
        let created = created(count, attempt, selection.parent);
        self.record(Event::CandidateCreated(CandidateCreated { parents, operator, size, ..created }));
    }

    fn finish_one(&mut self) {
        assert!(!self.in_flight.is_empty(), "the search waits for nothing");
        let task = self.in_flight.swap_remove(self.rng.random_range(0..self.in_flight.len()));
        let event = match (task.subject, task.windows) {
            (Subject::Baseline, windows) => self.baseline(windows),
            (Subject::Candidate(candidate), WindowSet::Search) => {
                let evaluation = self.evaluation(candidate, WindowSet::Search);
                Event::CandidateEvaluated { candidate, evaluation }
            }
            (Subject::Candidate(candidate), WindowSet::HeldOut) => {
                let evaluation = self.evaluation(candidate, WindowSet::HeldOut);
                self.search.ruling(candidate, evaluation)
            }
        };
        self.record(event);
    }

    /// The baseline measured on these windows.
    pub fn baseline(&self, windows: WindowSet) -> Event {
        let first = first_window(windows);
        let measurement = measurement(&self.search.started().cases, first, |_, window| sample(window, 0.02, 0.1));
        match windows {
            WindowSet::Search => Event::BaselineEvaluated { measurement },
            WindowSet::HeldOut => Event::BaselineHeldOut { measurement },
        }
    }

    fn evaluation(&mut self, candidate: CandidateId, windows: WindowSet) -> Evaluation {
        if self.chance(self.script.rejected) {
            let rejection = Rejection::Hang { limit_seconds: 1.0 };
            return Evaluation::Rejected { rejection, evidence: Evidence::default() };
        }
        let threshold = self.search.candidate(candidate).and_then(|known| known.outclassed_below);
        let threshold = threshold.filter(|_| windows == WindowSet::Search);
        if let Some(threshold) = threshold
            && self.chance(self.script.outclassed)
        {
            return Evaluation::Outclassed { measurement: Measurement::default(), at_best: threshold - 0.1 };
        }
        // Few values, so that there are equal scores too.
        let gap = [0.0, 0.01, 0.02, 0.04][self.rng.random_range(0..4)];
        let rng = &mut self.rng;
        let time = [0.001, 0.01, 0.1, 1.0][rng.random_range(0..4)];
        // Some are measured evenly, some not at all.
        let noise = [0.0, 0.01, 3.0][rng.random_range(0..3)];
        let measurement = measurement(&self.search.started().cases, first_window(windows), |_, window| {
            sample(window, gap, time * (1.0 + noise * rng.random::<f64>()))
        });
        Evaluation::Measured { measurement }
    }

    /// The process dies; another one reads the journal and goes on.
    fn die(&mut self) {
        self.in_flight.clear();
        self.asked.clear();
        self.search = self.replayed();
        self.resume(self.script.candidates);
    }

    /// Somebody stops the run, and resumes it. Requests are dropped.
    fn interrupt(&mut self) {
        self.asked.clear();
        while !self.in_flight.is_empty() {
            self.finish_one();
        }
        self.record(Event::RunStopped { reason: StopReason::Interrupted });
        self.resume(self.script.candidates);
    }

    /// Goes on with room for this many candidates.
    pub fn resume(&mut self, candidates: u64) {
        self.record(Event::RunResumed { candidates });
        for (attempt, selection) in self.search.open_attempts().to_vec() {
            self.begin(attempt, &selection);
        }
    }
}

/// Whether a language model is asked.
pub fn is_of_a_model(selection: &Selection) -> bool {
    matches!(selection.proposer, Proposer::Model(_))
}

/// A candidate that no other is like.
pub fn created(number: u64, attempt: u64, parent: CandidateId) -> CandidateCreated {
    CandidateCreated {
        candidate: CandidateId(number),
        attempt,
        name: format!("edit_{number}"),
        parents: vec![parent],
        commit: CommitId::from_bytes(*blob(number).as_bytes()),
        program: blob(number),
        normalised: blob(number),
        size: 0,
        operator: None,
    }
}

/// A blob for each number.
pub fn blob(number: u64) -> BlobId {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    BlobId::from_bytes(bytes)
}

/// The number of the first window of a side.
pub fn first_window(windows: WindowSet) -> usize {
    match windows {
        WindowSet::Search => 0,
        WindowSet::HeldOut => 3,
    }
}

/// Three windows of each case.
pub fn measurement(cases: &[Case], first: usize, mut sample: impl FnMut(&Case, usize) -> Sample) -> Measurement {
    let mut case = |case: &Case| CaseMeasurement {
        case: case.to_string(),
        samples: (first..first + 3).map(|window| sample(case, window)).collect(),
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
