//! Draw: has the proposer of a selection draw a proposal. Live runs and replay use the same function.

use std::cell::RefCell;

use packevolve_contract::stream::{Purpose, stream};
use thiserror::Error;

use crate::archive::{ProgramsError, blob_id};
use crate::proposer::catalogue::{Catalogue, CatalogueError};
use crate::proposer::cross::SecondParent;
use crate::proposer::frame::Frame;
use crate::proposer::prune::{Ancestor, Cuts};
use crate::proposer::{compose, cross, mutate, prune};
use crate::search::{Attempt, Search};
use crate::values::candidate::CandidateId;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::event::{Proposer, RunStarted};
use crate::values::operator::Operator;

#[derive(Debug, Error)]
#[error("the building blocks of the run cannot be read")]
pub struct ProposeError(#[from] CatalogueError);

impl Classify for ProposeError {
    fn kind(&self) -> ErrorKind {
        self.0.kind()
    }
}

/// The proposers of a run, without the language models.
#[derive(Debug)]
pub struct Proposers {
    /// Those whose programs the machine can run.
    catalogues: Vec<Catalogue>,
    /// The cuts of the candidate that was pruned last: finding them costs more than all else here.
    cuts: RefCell<Option<(CandidateId, Cuts)>>,
}

/// A proposal as its proposer wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalDraft {
    pub document: Vec<u8>,
    /// `None` for a proposer without operators.
    pub operator: Option<Operator>,
}

impl Proposers {
    /// With the building blocks in the first event of the run.
    pub fn open(started: &RunStarted) -> Result<Self, ProposeError> {
        let parsed = started.catalogues.iter().map(|text| Catalogue::parse(text));
        let mut catalogues = parsed.collect::<Result<Vec<_>, _>>()?;
        let evaluation = &started.settings.evaluation;
        catalogues.retain(|catalogue| started.judge.numba.is_some() || !catalogue.needs_numba());
        catalogues.retain(|catalogue| catalogue.fits(evaluation));
        Ok(Self { catalogues, cuts: RefCell::new(None) })
    }

    /// Whether a program is nothing but the seed program with building blocks in its region.
    pub fn is_of_blocks(&self, program: &str) -> bool {
        compose::is_of_blocks(program, &self.catalogues)
    }

    /// Draws the proposal of a selection; `None` if its proposer finds none. `program` gives the programs of
    /// candidates.
    pub fn draw(
        &self,
        search: &Search,
        attempt: &Attempt,
        program: impl Fn(CandidateId) -> Result<String, ProgramsError>,
    ) -> Result<Option<ProposalDraft>, ProgramsError> {
        let (started, selection) = (search.origin(), &attempt.selection);
        if let Proposer::Corpus(place) = selection.proposer {
            let document = started.corpus[place].document.0.clone();
            return Ok(Some(ProposalDraft { document, operator: None }));
        }
        if let Proposer::Person(place) = selection.proposer {
            let document = search.given()[place].document.0.clone();
            return Ok(Some(ProposalDraft { document, operator: None }));
        }
        let parent = program(selection.parent)?;
        let mut rng = stream(started.settings.rng_seed, attempt.number, Purpose::Proposal);
        let seen = |program: &str| search.seen(&blob_id(program.as_bytes())).is_some();
        let proposal = match selection.proposer {
            Proposer::Mutate => mutate::propose(&parent, selection.operator, &mut rng, &seen),
            Proposer::Compose => {
                let neighbour = selection.inspirations.first().map(|neighbour| program(*neighbour)).transpose()?;
                let between =
                    neighbour.and_then(|text| compose::between(&parent, &text, &self.catalogues, &mut rng, &seen));
                between.or_else(|| compose::propose(&parent, &self.catalogues, selection.operator, &mut rng, &seen))
            }
            Proposer::Prune => {
                let best = selection.parent;
                if self.cuts.borrow().as_ref().is_none_or(|(of, _)| *of != best) {
                    let cuts = Cuts::of(&line(search, best, program)?);
                    self.cuts.replace(Some((best, cuts)));
                }
                let cuts = self.cuts.borrow();
                selection.cut.and_then(|place| cuts.as_ref()?.1.propose(place))
            }
            Proposer::Cross => {
                let Some(second) = selection.inspirations.first().copied() else { return Ok(None) };
                // If one descends from the other there is nothing to merge.
                let ancestor = search.common_ancestor(selection.parent, second);
                let ancestor = ancestor.filter(|ancestor| ![selection.parent, second].contains(ancestor));
                let (label, text, ancestor) =
                    (second.to_string(), program(second)?, ancestor.map(&program).transpose()?);
                let entry = Frame::of(&started.settings.evaluation).entry();
                let second = SecondParent { label: &label, program: &text, ancestor: ancestor.as_deref(), entry };
                cross::propose(&parent, second, selection.operator, &mut rng, &seen)
            }
            // The proposal of a model is in its answer.
            Proposer::Corpus(_) | Proposer::Person(_) | Proposer::Model(_) => None,
        };
        Ok(proposal.map(|(operator, proposal)| ProposalDraft {
            document: proposal.to_string().into_bytes(),
            operator: Some(operator),
        }))
    }
}

/// A candidate and its line of ancestors, the newest first, as far as `prune` looks back.
fn line(
    search: &Search,
    candidate: CandidateId,
    program: impl Fn(CandidateId) -> Result<String, ProgramsError>,
) -> Result<Vec<Ancestor>, ProgramsError> {
    let parent = |candidate: &CandidateId| search.candidate(*candidate)?.parents.first().copied();
    let ancestor = |candidate: CandidateId| {
        let name = search.candidate(candidate).map_or_else(String::new, |known| known.name.clone());
        Ok(Ancestor { label: candidate.to_string(), name, program: program(candidate)? })
    };
    std::iter::successors(Some(candidate), parent).take(prune::MOST_EDITS + 1).map(ancestor).collect()
}
