//! Candidate: what the search knows of one program.

use packevolve_contract::duel::Verdict;
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::objective::Scores;
use schemars::JsonSchema;
use serde::Serialize;
use strum::{Display, IntoStaticStr};

use crate::values::candidate::{BlobId, CandidateId, CommitId};
use crate::values::event::{CandidateCreated, Fingerprint, Proposer, RequestForm, RunStarted, Selection};
use crate::values::operator::Operator;

#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// NAME of the proposal that made it; `seed` for the seed program.
    pub name: String,
    /// `None` for the seed program.
    pub proposer: Option<Proposer>,
    /// The first of them is the one it edits.
    pub parents: Vec<CandidateId>,
    /// The island of its first evaluation.
    pub island: usize,
    pub commit: CommitId,
    pub program: BlobId,
    /// Tokens of its program without comments, blank lines and docstrings.
    pub size: u64,
    pub operator: Option<Operator>,
    /// If it was pruned: the number of the cut among all cuts that its parent allows.
    pub cut: Option<u64>,
    /// Its evaluation may stop once it cannot reach this `combined_score`.
    pub outclassed_below: Option<f64>,
    /// `None` until its evaluation ends.
    pub outcome: Option<Outcome>,
    /// Whether its outcome comes from one window of each case, and the others are still to be measured.
    pub is_partial: bool,
    /// What its evaluation was measured with, as a place in [`Places::devices`](crate::search::places::Places::devices).
    pub device: Option<usize>,
    /// In what way its answers depend on the process or on other rows; empty if they do not.
    pub inconsistencies: Vec<Inconsistency>,
    /// Names of the cases in which the slot stayed disturbed, so that its times there are doubtful.
    pub doubtful: Vec<String>,
    /// Its duels as a contender.
    pub duels: Vec<DuelResult>,
    /// `None` until a duel decides about it.
    pub held_out: Option<HeldOutResult>,
    pub times_chosen: u64,
    /// For how long the candidates that edit it kept a judge.
    pub child_seconds: f64,
    pub form: Option<RequestForm>,
    /// How many rejected candidates in a row led its language model to it.
    pub repairs: u32,
}

#[derive(Clone, Debug, PartialEq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Outcome {
    /// Measured in full. The scores of a refuted candidate are those of the search and of its last duel together.
    Measured(Box<Scores>),
    /// Its answers depend on the process or on other rows, so that it can never be the best. No scores unless it was
    /// measured in full.
    Inconsistent(Option<Box<Scores>>),
    /// Its evaluation stopped early: it could not reach its threshold any more.
    Outclassed,
    /// It has no score.
    Rejected,
}

/// What a duel decides about its contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Display, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Ruling {
    /// It is the best.
    Confirmed,
    /// It is not the best.
    Refuted,
    /// Nothing: the slot was disturbed, and they meet again.
    Doubtful,
}

/// A duel of a contender.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DuelResult {
    /// The program that it had to beat.
    pub against: CandidateId,
    pub ruling: Ruling,
    /// What it was measured with, as a place in [`Places::devices`](crate::search::places::Places::devices).
    #[serde(skip)]
    pub device: usize,
    /// `None` if one of them was rejected.
    pub verdict: Option<Verdict>,
}

/// What the windows of duels, which the search never sees, say about a candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOutResult {
    /// Whether it became the best.
    pub confirmed: bool,
    /// Whether the slot stayed disturbed in its last duel, too.
    pub is_doubtful: bool,
    /// Its scores there, over all duels that decided something; `None` if it was rejected there.
    pub scores: Option<Box<Scores>>,
}

impl Candidate {
    pub fn seed(origin: &RunStarted) -> Self {
        Self::unmeasured("seed", &origin.seed)
    }

    /// A candidate that an attempt with this selection has made.
    pub fn new(created: &CandidateCreated, selection: &Selection, repairs: u32) -> Self {
        Self {
            proposer: Some(selection.proposer),
            parents: created.parents.clone(),
            island: selection.island,
            operator: created.operator,
            cut: selection.cut,
            outclassed_below: selection.outclassed_below,
            form: selection.form,
            repairs,
            ..Self::unmeasured(&created.name, &created.fingerprint)
        }
    }

    fn unmeasured(name: &str, fingerprint: &Fingerprint) -> Self {
        Self {
            name: name.to_owned(),
            proposer: None,
            parents: Vec::new(),
            island: 0,
            commit: fingerprint.commit,
            program: fingerprint.program,
            size: fingerprint.size,
            operator: None,
            cut: None,
            outclassed_below: None,
            outcome: None,
            is_partial: false,
            device: None,
            inconsistencies: Vec::new(),
            doubtful: Vec::new(),
            duels: Vec::new(),
            held_out: None,
            times_chosen: 0,
            child_seconds: 0.0,
            form: None,
            repairs: 0,
        }
    }

    /// The scores it goes by in the search; `None` if it has none.
    pub fn scores(&self) -> Option<&Scores> {
        match self.outcome.as_ref()? {
            Outcome::Measured(scores) => Some(scores),
            Outcome::Inconsistent(scores) => scores.as_deref(),
            Outcome::Outclassed | Outcome::Rejected => None,
        }
    }
}
