//! Event: what happened in a run, one a journal line. The state of a search is the fold of its events.
//!
//! Events hold facts and raw measurements; what can be computed from them (scores, ranks, who is best) is not stored.

use std::fmt;

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::protocol::Ready;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::edit::mismatch::Mismatch;
use crate::values::candidate::{BlobId, CandidateId, CommitId};
use crate::values::cost::Charge;
use crate::values::digest::Digest;
use crate::values::llm_error::LlmError;
use crate::values::operator::Operator;
use crate::values::raw_text::RawText;
use crate::values::settings::Settings;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "kebab-case")]
pub enum Event {
    /// First line of every journal.
    RunStarted(Box<RunStarted>),
    /// The program that scores are relative to was measured.
    BaselineEvaluated {
        /// Of the baseline program.
        measurement: Measurement,
    },
    /// The same program was measured on the windows that are held out from the search.
    BaselineHeldOut {
        /// Of the baseline program.
        measurement: Measurement,
    },
    /// It was decided what to try next.
    Selected {
        /// Number of the attempt, from 0.
        attempt: u64,
        /// What.
        selection: Selection,
    },
    /// A language model was sent a request, and answered or did not.
    ModelAsked(ModelAsked),
    /// A language model is not asked any more: for a while, or for good where only other settings can help.
    ModelPaused {
        /// Place of the model in the settings.
        model: usize,
        /// Why.
        error: LlmError,
    },
    /// It is asked again.
    ModelResumed {
        /// Place of the model in the settings.
        model: usize,
    },
    /// An attempt made no candidate.
    ProposalDeclined {
        /// Which attempt.
        attempt: u64,
        /// The proposal as received; `None` if its proposer had none.
        proposal: Option<RawText>,
        /// Why.
        reason: Declined,
    },
    /// An attempt made a candidate; its commit is in the archive.
    CandidateCreated(CandidateCreated),
    /// A candidate was judged.
    CandidateEvaluated {
        /// Which one.
        candidate: CandidateId,
        /// How it went.
        evaluation: Evaluation,
    },
    /// What looked better than the best was measured on the held-out windows, and is better there, or is the best without
    /// what it does not need, and as good there: it is the best now.
    Confirmed {
        /// Which candidate.
        candidate: CandidateId,
        /// On the held-out windows.
        measurement: Measurement,
    },
    /// What looked better than the best was judged on the held-out windows, and is not better there; or what was pruned is
    /// not as good.
    Refuted {
        /// Which candidate.
        candidate: CandidateId,
        /// How it went on the held-out windows.
        evaluation: Evaluation,
    },
    /// The run came to an orderly end; it can be resumed.
    RunStopped {
        /// Why.
        reason: StopReason,
    },
    /// The run goes on, with room for this many candidates in all.
    RunResumed {
        /// The new limit.
        candidates: u64,
    },
}

/// Everything that a run starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunStarted {
    /// Version of PackEvolve that started it.
    pub packevolve: String,
    /// The effective settings.
    pub settings: Settings,
    /// Unix time that the times of commits count from.
    pub epoch: i64,
    /// Name of the program's file in every commit.
    pub file_name: String,
    /// The seed program.
    pub program: String,
    /// What is derived from it once: its ids and its size.
    pub seed: Fingerprint,
    /// The baseline program.
    pub baseline: String,
    /// All cases, in the order of evaluation.
    pub cases: Vec<Case>,
    /// The corpus, in the order in which it is applied.
    pub corpus: Vec<CorpusEntry>,
    /// The building blocks of `compose`, as they were when the run started.
    pub catalogue: Option<String>,
    /// What the measurements are taken with.
    pub judge: Ready,
}

/// One document of the corpus and the program that it is an edit of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CorpusEntry {
    /// File name.
    pub file: String,
    /// The document as it was when the run started.
    pub document: RawText,
    /// Place in the corpus of the document whose program this one edits; `None`: the seed program.
    pub parent: Option<usize>,
}

/// One request to a language model and what came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelAsked {
    /// Place of the model in the settings.
    pub model: usize,
    /// What for.
    pub asking: Asking,
    /// Where the bodies of request and reply are.
    pub exchange: ExchangeRef,
    /// Why that is no answer; `None`: it is one.
    pub error: Option<LlmError>,
    /// What it cost: as the endpoint counted, or at worst where it did not say.
    pub charge: Charge,
}

/// A line of `exchanges.jsonl`, which was on the disk before the journal named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExchangeRef {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its digest.
    pub digest: Digest,
}

/// What a language model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Asking {
    /// A proposal, for this attempt.
    Proposal(u64),
    /// What worked so far and what did not.
    Summary,
}

/// In which form a proposal is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RequestForm {
    /// SEARCH/REPLACE blocks for the parent.
    Edit,
    /// The editable region written anew.
    Rewrite,
    /// The best of two parents, as either; an edit is one of the first of them.
    Crossover,
}

/// What a candidate is recognised by. All of it follows from the program and the proposal; it is recorded so that a reader
/// need not derive every program, and so that a replay has something to agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fingerprint {
    /// Its commit.
    pub commit: CommitId,
    /// Its program.
    pub program: BlobId,
    /// The program without comments, blank lines and the names of locals. The archive has no object of this id.
    pub normalised: BlobId,
    /// How many tokens are left then.
    pub size: u64,
}

/// A candidate and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateCreated {
    /// Its number.
    pub candidate: CandidateId,
    /// The attempt that made it.
    pub attempt: u64,
    /// NAME of its proposal.
    pub name: String,
    /// What it is an edit of.
    pub parents: Vec<CandidateId>,
    /// Its proposal as received.
    pub proposal: RawText,
    /// What is derived from parent and proposal once: its ids and its size.
    pub fingerprint: Fingerprint,
    /// What its proposer did, if it can do several things; not always what it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
}

/// What to try next: a decision of the search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Selection {
    /// Who is asked for a proposal.
    pub proposer: Proposer,
    /// Where what comes of it is to live.
    pub island: usize,
    /// What is to be edited.
    pub parent: CandidateId,
    /// Others that the proposer is shown; the first of them is the second parent of a crossing or crossover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inspirations: Vec<CandidateId>,
    /// A candidate that cannot reach this `combined_score` any more is not measured further; `None`: in full.
    pub outclassed_below: Option<f64>,
    /// What the proposer is to do, if it can; `None` of those that can do one thing only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Operator>,
    /// Which of all that can be cut from its parent `prune` is to cut, by its place; `None` of anybody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
    /// In which form a language model is asked; `None` of anybody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<RequestForm>,
    /// The rejected candidate that goes back to its language model with the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<CandidateId>,
}

impl Selection {
    /// Of a proposer that is asked for nothing in particular, and measured in full.
    pub fn of(proposer: Proposer, island: usize, parent: CandidateId) -> Self {
        let inspirations = Vec::new();
        let (outclassed_below, operator, cut, form, repairs) = (None, None, None, None, None);
        Self { proposer, island, parent, inspirations, outclassed_below, operator, cut, form, repairs }
    }

    /// What comes of it is an edit of the first of these.
    pub fn parents(&self) -> impl Iterator<Item = CandidateId> {
        let crosses = self.proposer == Proposer::Cross || self.form == Some(RequestForm::Crossover);
        let second = crosses.then(|| self.inspirations.first().copied()).flatten();
        std::iter::once(self.parent).chain(second)
    }
}

/// A source of proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Proposer {
    /// The document at this place of the corpus.
    Corpus(usize),
    /// Changes the parent a little.
    Mutate,
    /// Puts a program together from building blocks.
    Compose,
    /// Joins the parent with another candidate.
    Cross,
    /// Cuts from the best what its score does not need.
    Prune,
    /// The language model at this place of the settings.
    Model(usize),
}

impl Proposer {
    /// All that it can do; nothing of one that can do one thing only.
    pub fn operators(self) -> &'static [Operator] {
        match self {
            Self::Mutate => &Operator::MUTATE,
            Self::Compose => &Operator::COMPOSE,
            Self::Cross => &Operator::CROSS,
            Self::Prune => &Operator::PRUNE,
            Self::Corpus(_) | Self::Model(_) => &[],
        }
    }
}

impl fmt::Display for Proposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corpus(_) => "corpus",
            Self::Mutate => "mutate",
            Self::Compose => "compose",
            Self::Cross => "cross",
            Self::Prune => "prune",
            Self::Model(place) => return write!(f, "model-{place}"),
        })
    }
}

/// Why an attempt made no candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Declined {
    /// The document is no proposal.
    Unreadable {
        /// What is wrong with it.
        error: String,
    },
    /// Its edit does not apply to the parent.
    DoesNotApply {
        /// Where and why, with the nearest places.
        mismatch: Mismatch,
    },
    /// The program that it makes was seen before.
    Duplicate {
        /// As this candidate.
        of: CandidateId,
    },
    /// It differs from a program that was seen before in comments, blank lines and names of locals only.
    NotNovel {
        /// From this candidate's.
        of: CandidateId,
    },
    /// The proposer found nothing new for this parent.
    NothingNew,
    /// The model did not answer.
    Unanswered {
        /// Why.
        error: LlmError,
    },
    /// The model's answer proposes nothing that can be tried.
    Unusable {
        /// What is wrong with it.
        error: String,
    },
}

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { error } => write!(f, "not a proposal: {error}"),
            Self::DoesNotApply { mismatch } => write!(f, "does not apply: {mismatch}"),
            Self::Duplicate { of } => write!(f, "the same program as candidate {of}"),
            Self::NotNovel { of } => write!(f, "differs from candidate {of} in comments, blank lines and names only"),
            Self::NothingNew => f.write_str("nothing new was found for its parent"),
            Self::Unanswered { error } => write!(f, "no answer: {error}"),
            Self::Unusable { error } => write!(f, "no proposal that can be tried: {error}"),
        }
    }
}

/// Why a run came to an orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// As many candidates as were asked for.
    Candidates,
    /// The time of the run is used up.
    WallTime,
    /// The best has the score that was asked for.
    Target,
    /// Another request to a language model may cost more tokens than the run has left.
    Tokens,
    /// Another request to a language model may cost more than the run has left.
    Dollars,
    /// Somebody made the run's stop file.
    StopFile,
    /// Nothing new is found any more.
    Exhausted,
    /// Ctrl-C or a termination signal.
    Interrupted,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Candidates => "all candidates asked for were made",
            Self::WallTime => "the time of the run is used up",
            Self::Target => "the score asked for is reached",
            Self::Tokens => "the tokens of the run are used up",
            Self::Dollars => "the money of the run is used up",
            Self::StopFile => "the stop file was found",
            Self::Exhausted => "nothing new is found any more",
            Self::Interrupted => "interrupted",
        })
    }
}

#[cfg(test)]
impl Fingerprint {
    /// For tests: ids that no object has.
    pub(crate) fn example() -> Self {
        let id = BlobId::from_bytes([0; 20]);
        Self { commit: CommitId::from_bytes([0; 20]), program: id, normalised: id, size: 0 }
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
            catalogue: None,
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
    use packevolve_contract::evaluation::{CaseMeasurement, NextLoads, Sample};
    use packevolve_contract::rebalance::{PlanLoads, Policy, RebalanceSample};
    use packevolve_contract::rejection::{Evidence, Rejection};

    /// The word of an event in the journal. A new kind of event is missed here first.
    fn word(event: &Event) -> &'static str {
        match event {
            Event::RunStarted(_) => "run-started",
            Event::BaselineEvaluated { .. } => "baseline-evaluated",
            Event::BaselineHeldOut { .. } => "baseline-held-out",
            Event::Selected { .. } => "selected",
            Event::ModelAsked(_) => "model-asked",
            Event::ModelPaused { .. } => "model-paused",
            Event::ModelResumed { .. } => "model-resumed",
            Event::ProposalDeclined { .. } => "proposal-declined",
            Event::CandidateCreated(_) => "candidate-created",
            Event::CandidateEvaluated { .. } => "candidate-evaluated",
            Event::Confirmed { .. } => "confirmed",
            Event::Refuted { .. } => "refuted",
            Event::RunStopped { .. } => "run-stopped",
            Event::RunResumed { .. } => "run-resumed",
        }
    }

    /// Numbers that a careless writer would not bring back.
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
        let differs_in = Some("8->4, window 3".to_owned());
        Measurement {
            cases,
            rebalance,
            deterministic: Some(false),
            differs_in,
            peak_memory_bytes: u64::MAX,
            ..Measurement::default()
        }
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
            fingerprint: Fingerprint { commit: CommitId::from_bytes([1; 20]), size: 3, ..Fingerprint::example() },
            operator: Some(Operator::EarlyExit),
        };
        let mut events = vec![
            Event::RunStarted(Box::new(started)),
            Event::BaselineEvaluated { measurement: measurement() },
            Event::BaselineHeldOut { measurement: measurement() },
            Event::Confirmed { candidate: CandidateId(7), measurement: measurement() },
            Event::CandidateCreated(created),
            Event::RunResumed { candidates: 40 },
        ];
        for (proposer, outclassed_below) in [
            (Proposer::Corpus(2), None),
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
        events.push(Event::ModelPaused { model: 1, error: LlmError::Empty });
        events.push(Event::ModelResumed { model: 1 });
        let rejection = Rejection::Crash { status: "signal 11 (SIGSEGV)".to_owned() };
        let evidence = Evidence { during: "72->8, window 3".to_owned(), ..Evidence::default() };
        for evaluation in [
            Evaluation::Measured { measurement: measurement() },
            Evaluation::Outclassed { measurement: measurement(), at_best: -0.125 },
            Evaluation::Rejected { rejection, evidence },
        ] {
            events.push(Event::Refuted { candidate: CandidateId(7), evaluation: evaluation.clone() });
            events.push(Event::CandidateEvaluated { candidate: CandidateId(7), evaluation });
        }
        use StopReason::{Candidates, Dollars, Exhausted, Interrupted, StopFile, Target, Tokens, WallTime};
        let reasons = [Candidates, WallTime, Target, Tokens, Dollars, StopFile, Exhausted, Interrupted];
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
        assert_eq!(one_of_each().iter().map(word).collect::<BTreeSet<_>>().len(), 14, "an event of each kind");
    }

    #[test]
    fn an_event_of_an_unknown_kind_is_refused() {
        assert!(serde_json::from_str::<Event>("{\"type\":\"run-paused\"}").is_err());
        assert!(serde_json::from_str::<Event>("{\"type\":\"run-resumed\"}").is_err());
    }
}
