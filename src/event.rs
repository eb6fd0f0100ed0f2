//! Event: what happened in a run, one a journal line. The state of a search is the fold of its events.
//!
//! Events hold facts and raw measurements; what can be computed from them (scores, ranks, who is best) is not stored.

use std::fmt;

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::protocol::Ready;
use serde::{Deserialize, Serialize};

use crate::candidate::{BlobId, CandidateId, CommitId};
use crate::mismatch::Mismatch;
use crate::settings::Settings;

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// First line of every journal.
    RunStarted(Box<RunStarted>),
    /// The program that scores are relative to was measured.
    BaselineEvaluated {
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
    /// An attempt made no candidate.
    ProposalDeclined {
        /// Which attempt.
        attempt: u64,
        /// The proposal as received; `None` if its proposer had none.
        proposal: Option<BlobId>,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    pub program: BlobId,
    /// Its commit, candidate 0.
    pub commit: CommitId,
    /// The baseline program.
    pub baseline: BlobId,
    /// All cases, in the order of evaluation.
    pub cases: Vec<Case>,
    /// The corpus, in the order in which it is applied.
    pub corpus: Vec<CorpusEntry>,
    /// What the measurements are taken with.
    pub judge: Ready,
}

/// One document of the corpus and the program that it is an edit of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusEntry {
    /// File name.
    pub file: String,
    /// The document as it was when the run started.
    pub proposal: BlobId,
    /// Place in the corpus of the document whose program this one edits; `None`: the seed program.
    pub parent: Option<usize>,
}

/// A candidate and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateCreated {
    /// Its number.
    pub candidate: CandidateId,
    /// The attempt that made it.
    pub attempt: u64,
    /// NAME of its proposal.
    pub name: String,
    /// What it is an edit of.
    pub parents: Vec<CandidateId>,
    /// Its commit.
    pub commit: CommitId,
    /// Its program.
    pub program: BlobId,
}

/// What to try next: a decision of the search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Who is asked for a proposal.
    pub proposer: Proposer,
    /// What is to be edited.
    pub parent: CandidateId,
    /// A candidate that cannot reach this `combined_score` any more is not measured further; `None`: in full.
    pub outclassed_below: Option<f64>,
}

/// A source of proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proposer {
    /// The document at this place of the corpus.
    Corpus(usize),
    /// Changes constants of the parent.
    Mutate,
}

impl fmt::Display for Proposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corpus(_) => "corpus",
            Self::Mutate => "mutate",
        })
    }
}

/// Why an attempt made no candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
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
    /// The proposer found nothing new for this parent.
    NothingNew,
}

impl Declined {
    /// The kind as one word, as it stands in the journal.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::DoesNotApply { .. } => "does-not-apply",
            Self::Duplicate { .. } => "duplicate",
            Self::NothingNew => "nothing-new",
        }
    }
}

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { error } => write!(f, "not a proposal: {error}"),
            Self::DoesNotApply { mismatch } => write!(f, "does not apply: {mismatch}"),
            Self::Duplicate { of } => write!(f, "the same program as candidate {of}"),
            Self::NothingNew => f.write_str("nothing new was found for its parent"),
        }
    }
}

/// Why a run came to an orderly end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// As many candidates as were asked for.
    Candidates,
    /// The time of the run is used up.
    WallTime,
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
            Self::Exhausted => "nothing new is found any more",
            Self::Interrupted => "interrupted",
        })
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
            program: BlobId::from_bytes([0; 20]),
            commit: CommitId::from_bytes([0; 20]),
            baseline: BlobId::from_bytes([0; 20]),
            cases: cases.expect("BUG: the example can be packed"),
            corpus: Vec::new(),
            judge: Ready::default(),
            settings,
        }
    }
}
