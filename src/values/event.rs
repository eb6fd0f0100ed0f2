//! The events of a run, one for each line of the journal. Folding them gives the state of the search.
//!
//! Events hold facts and raw measurements, and nothing that follows from them, such as scores, ranks or the best.

use packevolve_contract::case::Case;
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::protocol::Ready;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};
use thiserror::Error;

use crate::edit::mismatch::Mismatch;
use crate::values::candidate::{BlobId, CandidateId, CommitId};
use crate::values::cost::Charge;
use crate::values::digest::Digest;
use crate::values::llm_error::LlmError;
use crate::values::operator::Operator;
use crate::values::raw_text::RawText;
use crate::values::settings::Settings;
use crate::values::task::Task;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "kebab-case")]
pub enum Event {
    /// The first line of every journal.
    RunStarted(Box<RunStarted>),
    /// A judge is ready to measure.
    SlotOpened {
        /// Its number through all places of the settings.
        slot: usize,
        /// The judge and its machine; `None`: as at the start of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        judge: Option<Box<Ready>>,
        /// The baseline program as this judge measured it, if its device or its torch is not the one on which the
        /// baseline of the run was measured. What it measures is compared with this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        baseline: Option<Box<Measurement>>,
    },
    /// A judge ended, broke or did not start. What it measured is measured again.
    SlotLost {
        slot: usize,
        /// Why, with the last that it and the programs that started it wrote.
        reason: String,
        /// What it was to measure.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<Task>,
        /// Whether it answers, but must not be used: it is not started again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        refused: bool,
    },
    /// The baseline program was measured.
    BaselineEvaluated {
        slot: usize,
        measurement: Measurement,
        /// In what way its answers depend on the process or on other rows; empty if they do not.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inconsistencies: Vec<Inconsistency>,
    },
    /// A person handed a proposal to the run under way; the search tries it next.
    ProposalGiven(GivenProposal),
    /// The search chose what to try next.
    Selected {
        /// From 0.
        attempt: u64,
        selection: Selection,
    },
    /// A request to a language model ended, with an answer or an error.
    ModelAsked(ModelAsked),
    /// The search stops asking a language model.
    ModelPaused {
        /// Index of the model in the settings.
        model: usize,
        error: LlmError,
        /// The length of the pause; `None`: until the run is resumed.
        seconds: Option<f64>,
    },
    /// The pause of a language model ends.
    ModelResumed {
        /// Index of the model in the settings.
        model: usize,
    },
    /// An attempt led to no candidate.
    ProposalDeclined {
        attempt: u64,
        /// The proposal as received; `None` if the proposer made none.
        proposal: Option<RawText>,
        reason: Declined,
    },
    /// An attempt led to a candidate.
    CandidateCreated(CandidateCreated),
    /// The judge evaluated a candidate. A later evaluation of the same candidate takes the place of a partial one.
    CandidateEvaluated {
        candidate: CandidateId,
        slot: usize,
        evaluation: Evaluation,
        /// Whether it was measured on one window of each case only; the others follow.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    },
    /// The run is about to reach a limit that the search does not see. From here on partial verdicts are completed before
    /// anything else is measured.
    LimitNear { reason: StopReason },
    /// A contender meets the best, or, if it is a cut, the program that pruning began with. A later start takes the place
    /// of one that has not ended: no program sees its windows again.
    DuelStarted {
        contender: CandidateId,
        best: CandidateId,
        /// Entropy that is drawn for this duel, and keys its windows and calls. No earlier event allows to predict it.
        seed: u64,
    },
    /// The duel of a contender ended. Who is the best follows from it.
    DuelEnded { contender: CandidateId, slot: usize, duel: Box<Duel> },
    /// The run stopped in good order; `resume` can continue it.
    RunStopped { reason: StopReason },
    /// The run continues.
    RunResumed {
        /// The new limit on candidates.
        candidates: u64,
    },
}

/// The inputs of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStarted {
    /// The version of PackEvolve that started the run.
    pub packevolve: String,
    /// The effective settings.
    pub settings: Settings,
    /// The Unix time from which commit times count.
    pub epoch: i64,
    /// The name of the program's file in every commit.
    pub file_name: String,
    /// The seed program.
    pub program: String,
    /// The ids and the size of the seed program.
    pub seed: Fingerprint,
    /// The baseline program.
    pub baseline: String,
    /// In the order of evaluation.
    pub cases: Vec<Case>,
    /// The corpus, in the order of application.
    pub corpus: Vec<CorpusEntry>,
    /// The catalogues of building blocks of `compose`.
    pub catalogues: Vec<String>,
    /// The first judge of the first place, and its machine.
    pub judge: Ready,
}

/// A document of the corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CorpusEntry {
    /// File name.
    pub file: String,
    pub document: RawText,
    /// Index in the corpus of the document whose program this one edits; `None`: the seed program.
    pub parent: Option<usize>,
}

/// A proposal that a person handed to a run under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GivenProposal {
    /// Its name in the inbox of the run. The run takes each once.
    pub letter: String,
    /// The name of the file that it was in.
    pub file: String,
    /// The program that it edits.
    pub parent: CandidateId,
    /// As received.
    pub document: RawText,
}

/// A request to a language model with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelAsked {
    /// Index of the model in the settings.
    pub model: usize,
    pub asking: Asking,
    /// The place of the bodies of request and reply.
    pub exchange: ExchangeRef,
    /// `None`: the model answered.
    pub error: Option<LlmError>,
    /// The cost that the endpoint reports, or the worst case.
    pub charge: Charge,
}

/// A line of `exchanges.jsonl`, synced before the journal names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExchangeRef {
    /// The offset of its first byte.
    pub offset: u64,
    pub digest: Digest,
}

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Asking {
    /// A proposal for this attempt.
    Proposal(u64),
    /// A summary of what worked and what did not.
    Summary,
}

/// The form in which a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Display, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum RequestForm {
    /// SEARCH/REPLACE blocks for the parent.
    Edit,
    /// A new version of the editable region.
    Rewrite,
    /// The best of two parents, in either form; an edit applies to the first parent.
    Crossover,
}

/// The identity of a candidate. It follows from the program and the proposal; recording it spares readers deriving
/// every program and gives replay a value to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fingerprint {
    /// Its commit.
    pub commit: CommitId,
    /// Its program.
    pub program: BlobId,
    /// The id of the normal form of the program. The archive has no object of this id.
    pub normalised: BlobId,
    /// The number of tokens of the normal form.
    pub size: u64,
}

/// A candidate and its origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateCreated {
    pub candidate: CandidateId,
    pub attempt: u64,
    pub name: String,
    /// The edited program first.
    pub parents: Vec<CandidateId>,
    /// As received.
    pub proposal: RawText,
    /// The ids and the size of its program.
    pub fingerprint: Fingerprint,
    /// The operator that the proposer used; it may differ from the one it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
}

/// A decision of the search on what to try next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Selection {
    pub proposer: Proposer,
    /// The island of the candidate.
    pub island: usize,
    /// The program to edit.
    pub parent: CandidateId,
    /// Other programs for the proposer; the first is the second parent of a cross or crossover, or the
    /// neighbour on the front towards which `compose` goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inspirations: Vec<CandidateId>,
    /// The judge stops measuring a candidate that cannot reach this `combined_score`; `None`: it measures in full.
    pub outclassed_below: Option<f64>,
    /// The operator to use, if it finds anything; `None` for proposers with one operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// The index of the cut that `prune` makes; `None` for other proposers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
    /// The form of a model's answer; `None` for other proposers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<RequestForm>,
    /// The rejected candidate that goes back to its model with the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<CandidateId>,
}

impl Selection {
    /// Without a particular operator, measured in full.
    pub fn of(proposer: Proposer, island: usize, parent: CandidateId) -> Self {
        let inspirations = Vec::new();
        let (outclassed_below, operator, cut, form, repairs) = (None, None, None, None, None);
        Self { proposer, island, parent, inspirations, outclassed_below, operator, cut, form, repairs }
    }

    /// The parents of the candidate; the first one is edited.
    pub fn parents(&self) -> impl Iterator<Item = CandidateId> {
        let crosses = self.proposer == Proposer::Cross || self.form == Some(RequestForm::Crossover);
        let second = crosses.then(|| self.inspirations.first().copied()).flatten();
        std::iter::once(self.parent).chain(second)
    }
}

/// A source of proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Display, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Proposer {
    /// The document at this index of the corpus.
    Corpus(usize),
    /// The proposal at this place among those that a person handed to the run under way.
    Person(usize),
    /// Changes the parent a little.
    Mutate,
    /// Assembles a program from building blocks.
    Compose,
    /// Combines the parent with another candidate.
    Cross,
    /// Removes what the score of the best does not need.
    Prune,
    /// The language model at this index of the settings.
    #[strum(to_string = "model-{0}")]
    Model(usize),
}

impl Proposer {
    /// Its operators; none for a proposer with only one.
    pub fn operators(self) -> &'static [Operator] {
        match self {
            Self::Mutate => &Operator::MUTATE,
            Self::Compose => &Operator::COMPOSE,
            Self::Cross => &Operator::CROSS,
            Self::Prune => &Operator::PRUNE,
            Self::Corpus(_) | Self::Person(_) | Self::Model(_) => &[],
        }
    }
}

/// The reason why an attempt led to no candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error, IntoStaticStr, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Declined {
    /// The document is not a proposal.
    #[error("not a proposal: {error}")]
    Unreadable { error: String },
    /// Its edit does not apply to the parent.
    #[error("does not apply: {mismatch}")]
    DoesNotApply { mismatch: Mismatch },
    /// The program equals an earlier one.
    #[error("the same program as candidate {of}")]
    Duplicate {
        /// The earlier candidate.
        of: CandidateId,
    },
    /// The program differs from an earlier one only in comments, blank lines and names of locals.
    #[error("differs from candidate {of} in comments, blank lines and names only")]
    NotNovel {
        /// The earlier candidate.
        of: CandidateId,
    },
    #[error("nothing new was found for its parent")]
    NothingNew,
    #[error("no answer: {error}")]
    Unanswered { error: LlmError },
    /// The model's answer holds no usable proposal.
    #[error("no proposal that can be tried: {error}")]
    Unusable { error: String },
}

/// The reason why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The run has its number of candidates.
    #[strum(to_string = "all candidates asked for were made")]
    Candidates,
    /// The wall time of the run is used up.
    #[strum(to_string = "the time of the run is used up")]
    WallTime,
    /// The best has the target score.
    #[strum(to_string = "the score asked for is reached")]
    Target,
    /// The next request to a language model may exceed the token budget.
    #[strum(to_string = "the tokens of the run are used up")]
    Tokens,
    /// The next request to a language model may exceed the dollar budget.
    #[strum(to_string = "the money of the run is used up")]
    Dollars,
    /// The stop file of the run exists.
    #[strum(to_string = "the stop file was found")]
    StopFile,
    /// The proposers find nothing new.
    #[strum(to_string = "nothing new is found any more")]
    Exhausted,
    /// The language models are switched off, and there are no other proposers.
    #[strum(to_string = "no proposer is left: every language model is switched off")]
    NoProposer,
    /// Ctrl-C or a termination signal.
    #[strum(to_string = "interrupted")]
    Interrupted,
}

#[cfg(test)]
impl Fingerprint {
    /// For tests: ids without an object.
    pub(crate) fn example() -> Self {
        let id = BlobId([0; 20]);
        Self { commit: CommitId([0; 20]), program: id, normalised: id, size: 0 }
    }
}

#[cfg(test)]
impl RunStarted {
    /// For tests: the start of a small run without a corpus, whose seed program is the baseline.
    pub(crate) fn example() -> Self {
        let settings = Settings::example();
        let evaluation = &settings.evaluation;
        let cases = packevolve_contract::case::cases(
            &evaluation.topology,
            &evaluation.global_cases,
            evaluation.random_cases,
            settings.rng_seed,
        );
        Self {
            packevolve: "0.1.0".to_owned(),
            epoch: 1_700_000_000,
            file_name: "eplb.py".to_owned(),
            program: "pass\n".to_owned(),
            seed: Fingerprint::example(),
            baseline: "pass\n".to_owned(),
            cases: cases.expect("BUG: the example can be packed"),
            corpus: Vec::new(),
            catalogues: Vec::new(),
            judge: Ready::default(),
            settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::edit::apply::Edit;
    use packevolve_contract::evaluation::{Calibration, CaseInterval, CaseMeasurement, NextLoads, Sample};
    use packevolve_contract::inconsistency::Switch;
    use packevolve_contract::rebalance::{PlanLoads, Policy, RebalanceSample};
    use packevolve_contract::rejection::{Evidence, Rejection};

    /// The tag of an event in the journal. The compiler points here first when a kind is added.
    fn word(event: &Event) -> &'static str {
        match event {
            Event::RunStarted(_) => "run-started",
            Event::SlotOpened { .. } => "slot-opened",
            Event::SlotLost { .. } => "slot-lost",
            Event::BaselineEvaluated { .. } => "baseline-evaluated",
            Event::ProposalGiven(_) => "proposal-given",
            Event::Selected { .. } => "selected",
            Event::ModelAsked(_) => "model-asked",
            Event::ModelPaused { .. } => "model-paused",
            Event::ModelResumed { .. } => "model-resumed",
            Event::ProposalDeclined { .. } => "proposal-declined",
            Event::CandidateCreated(_) => "candidate-created",
            Event::CandidateEvaluated { .. } => "candidate-evaluated",
            Event::LimitNear { .. } => "limit-near",
            Event::DuelStarted { .. } => "duel-started",
            Event::DuelEnded { .. } => "duel-ended",
            Event::RunStopped { .. } => "run-stopped",
            Event::RunResumed { .. } => "run-resumed",
        }
    }

    /// Numbers that a careless writer would change.
    fn measurement() -> Measurement {
        let sample = Sample {
            window: 3,
            mean_load: 0.1 + 0.2,
            max_load: 1.0e-300,
            bound: 1.0e300,
            worst_row_gap: 5e-324,
            seconds: 1.0 / 3.0,
            wall_seconds: 123_456_789.123_456_79,
            reference_seconds: 0.0,
            next: Some(NextLoads { mean_load: 2.0f64.sqrt(), max_load: f64::MAX }),
        };
        let cases = vec![CaseMeasurement { case: "8->4".to_owned(), samples: vec![sample] }];
        let plan = PlanLoads { mean_gpu: 0.1, max_gpu: 0.7, mean_replica: 1.0 / 7.0, max_replica: 1e-7 };
        let rebalance = vec![RebalanceSample {
            policy: Policy::Hierarchical,
            window: 3,
            now: plan,
            next: Some(plan),
            moved: Some(u64::MAX),
            replicas: 16_704,
            seconds: 0.1,
            wall_seconds: 0.3,
            reference_seconds: 0.7,
        }];
        let doubtful = vec!["8->4".to_owned()];
        let intervals = vec![CaseInterval { case: "8->4".to_owned(), half_width: 0.1 + 0.2 }];
        let calibration = Calibration { doubtful, intervals, ..Calibration::default() };
        Measurement { cases, rebalance, calibration, peak_memory_bytes: u64::MAX, ..Measurement::default() }
    }

    fn inconsistencies() -> Vec<Inconsistency> {
        let case = || "8->4".to_owned();
        vec![
            Inconsistency::Elsewhere { case: case(), switch: Switch::NumpyVectors, rows: 3, of: 58 },
            Inconsistency::Rows { case: case(), rows: 3, of: 58 },
        ]
    }

    fn mismatch(search: &str) -> Mismatch {
        let block = format!("<<<<<<< SEARCH\n{search}\n=======\nz = 1\n>>>>>>> REPLACE\n");
        Edit::parse(&block).unwrap().apply("x = 1\ny = 1\ny = 1\n").unwrap_err()
    }

    fn one_of_each() -> Vec<Event> {
        let text = || RawText(b"a \xff\n".to_vec());
        let mut started = RunStarted::example();
        started.corpus =
            vec![CorpusEntry { file: "ä \"\n".to_owned(), document: RawText(vec![255]), parent: Some(0) }];
        started.settings.rng_seed = u64::MAX;
        let created = CandidateCreated {
            candidate: CandidateId(7),
            attempt: 9,
            name: "é".to_owned(),
            parents: vec![CandidateId::SEED, CandidateId(3)],
            proposal: RawText(b"<NAME>\n".to_vec()),
            fingerprint: Fingerprint { commit: CommitId([1; 20]), size: 3, ..Fingerprint::example() },
            operator: Some(Operator::EarlyExit),
        };
        let mut events = vec![
            Event::RunStarted(Box::new(started)),
            Event::BaselineEvaluated { slot: 1, measurement: measurement(), inconsistencies: Vec::new() },
            Event::BaselineEvaluated { slot: 1, measurement: measurement(), inconsistencies: inconsistencies() },
            Event::SlotOpened { slot: 2, judge: None, baseline: None },
            Event::SlotOpened { slot: 2, judge: Some(Box::default()), baseline: Some(Box::new(measurement())) },
            Event::DuelStarted { contender: CandidateId(7), best: CandidateId::SEED, seed: u64::MAX },
            Event::CandidateCreated(created),
            Event::ProposalGiven(GivenProposal {
                letter: "1-a".to_owned(),
                file: "é.txt".to_owned(),
                parent: CandidateId(3),
                document: text(),
            }),
            Event::RunResumed { candidates: 40 },
        ];
        let seven = CandidateId(7);
        let tasks = [Task::Baseline, Task::Evaluate(seven), Task::Complete(seven), Task::Duel(seven)];
        for task in [None].into_iter().chain(tasks.map(Some)) {
            let (reason, refused) = ("é\n".to_owned(), task.is_none());
            events.push(Event::SlotLost { slot: 2, reason, task, refused });
        }
        for (proposer, outclassed_below) in [
            (Proposer::Corpus(2), None),
            (Proposer::Person(2), None),
            (Proposer::Mutate, Some(-0.25)),
            (Proposer::Compose, None),
            (Proposer::Cross, None),
            (Proposer::Prune, Some(0.5)),
            (Proposer::Model(1), None),
        ] {
            let inspirations = vec![CandidateId(1)];
            let is_model = proposer == Proposer::Model(1);
            let (form, repairs) = (is_model.then_some(RequestForm::Crossover), is_model.then_some(CandidateId(2)));
            let (operator, cut) = match proposer {
                Proposer::Mutate => (Some(Operator::LoopBound), None),
                Proposer::Prune => (None, Some(12)),
                _ => (None, None),
            };
            let of = Selection::of(proposer, 1, CandidateId(3));
            let selection = Selection { inspirations, outclassed_below, operator, cut, form, repairs, ..of };
            events.push(Event::Selected { attempt: 4, selection });
        }
        for reason in [
            Declined::Unreadable { error: "no DIFF".to_owned() },
            Declined::DoesNotApply { mismatch: mismatch("x = 2") },
            Declined::DoesNotApply { mismatch: mismatch("y = 1") },
            Declined::Duplicate { of: CandidateId(1) },
            Declined::NotNovel { of: CandidateId(1) },
            Declined::NothingNew,
            Declined::Unanswered { error: LlmError::Timeout { milliseconds: 9 } },
            Declined::Unusable { error: "no DIFF section".to_owned() },
        ] {
            events.push(Event::ProposalDeclined { attempt: 4, proposal: Some(text()), reason: reason.clone() });
            events.push(Event::ProposalDeclined { attempt: 4, proposal: None, reason });
        }
        for asking in [Asking::Proposal(u64::MAX), Asking::Summary] {
            let (exchange, error) = (ExchangeRef { offset: 9, digest: Digest::of(b"line") }, Some(LlmError::Empty));
            let charge = Charge { nanodollars: u64::MAX, ..Charge::NONE };
            events.push(Event::ModelAsked(ModelAsked { model: 1, asking, exchange, error, charge }));
        }
        for seconds in [Some(0.1 + 0.2), None] {
            events.push(Event::ModelPaused { model: 1, error: LlmError::Empty, seconds });
        }
        events.push(Event::ModelResumed { model: 1 });
        let rejection = Rejection::Crash { status: "signal 11 (SIGSEGV)".to_owned() };
        let evidence = Evidence { during: "72->8, window 3".to_owned(), ..Evidence::default() };
        for evaluation in [
            Evaluation::Measured { measurement: measurement() },
            Evaluation::Inconsistent { inconsistencies: inconsistencies(), measurement: measurement() },
            Evaluation::Outclassed { measurement: measurement(), at_best: -0.125 },
            Evaluation::Rejected { rejection, evidence },
        ] {
            let duel =
                Duel { contender: Evaluation::Measured { measurement: measurement() }, best: evaluation.clone() };
            events.push(Event::DuelEnded { contender: CandidateId(7), slot: 1, duel: Box::new(duel) });
            for partial in [false, true] {
                let evaluation = evaluation.clone();
                events.push(Event::CandidateEvaluated { candidate: CandidateId(7), slot: 1, evaluation, partial });
            }
        }
        use StopReason::{Candidates, Dollars, Exhausted, Interrupted, NoProposer, StopFile, Target, Tokens, WallTime};
        let reasons = [Candidates, WallTime, Target, Tokens, Dollars, StopFile, Exhausted, NoProposer, Interrupted];
        events.extend(reasons.map(|reason| Event::LimitNear { reason }));
        events.extend(reasons.map(|reason| Event::RunStopped { reason }));
        events
    }

    #[test]
    fn every_event_comes_back_from_its_json_as_it_was() {
        for event in one_of_each() {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
            assert!(text.starts_with(&format!("{{\"type\":\"{}\"", word(&event))), "{text}");
            assert!(!text.contains('\n'), "an event is one line");
        }
        assert_eq!(one_of_each().iter().map(word).collect::<BTreeSet<_>>().len(), 17, "an event of each kind");
    }

    #[test]
    fn an_event_of_an_unknown_kind_is_refused() {
        assert!(serde_json::from_str::<Event>("{\"type\":\"run-paused\"}").is_err());
        assert!(serde_json::from_str::<Event>("{\"type\":\"run-resumed\"}").is_err());
    }
}
