//! Edits: the proposals that lead from the seed program to the best, in order, and what each of them brought.

use super::cast::Cast;
use super::changes;
use super::figures::{count, difference, milliseconds, or_none, percent, score};
use super::page::{Block, DiffLine, EditShown, Section, Table};
use crate::candidate::CandidateId;
use crate::proposal::Proposal;
use crate::repository::{Repository, RepositoryError};

pub fn section(cast: &Cast<'_>, repository: &Repository) -> Result<Section, RepositoryError> {
    let line = cast.winning_line();
    let mut blocks = Vec::new();
    if let Some((_, edited)) = line.split_first() {
        let text = format!(
            "{} from the seed program to the best, each with what it changed on the windows of the search. An edit may \
             cost something first and pay later.",
            count(edited.len(), "edit leads", "edits lead")
        );
        blocks.push(Block::words(text));
        blocks.push(Block::Table(table(cast, &line)));
        let edits = edited.iter().map(|id| shown(cast, repository, *id)).collect::<Result<_, _>>()?;
        blocks.push(Block::Edits { edits });
    }
    Ok(Section { id: "edits", title: "The winning edits", blocks })
}

fn table(cast: &Cast<'_>, line: &[CandidateId]) -> Table {
    let columns = ["candidate", "edit", "gap, mean %#", "unit, ms#", "quality#", "speed#", "combined#", "brought#"];
    let mut table = Table::new("From the seed program to the best, edit by edit", columns);
    for id in line {
        let name = cast.known(*id).name.clone();
        let scores = cast.scores(*id);
        let figures = scores.map(|scores| {
            [
                or_none(cast.mean_gap(scores).map(percent)),
                or_none(scores.unit_seconds.map(milliseconds)),
                or_none(scores.quality.map(score)),
                score(scores.speed_score),
                score(scores.combined_score),
            ]
        });
        let figures = figures.unwrap_or_else(|| std::array::from_fn(|_| or_none(None::<String>)));
        let brought = if *id == CandidateId::SEED { String::new() } else { or_none(brought(cast, *id)) };
        table.row([id.to_string(), name].into_iter().chain(figures).chain([brought])).is_best = Some(*id) == cast.best;
    }
    table
}

/// By how much the score of a candidate exceeds that of the program that was edited.
fn brought(cast: &Cast<'_>, id: CandidateId) -> Option<String> {
    let parent = *cast.known(id).parents.first()?;
    Some(difference(cast.scores(id)?.combined_score - cast.scores(parent)?.combined_score))
}

fn shown(cast: &Cast<'_>, repository: &Repository, id: CandidateId) -> Result<EditShown, RepositoryError> {
    let bytes = repository.proposal(cast.known(id).commit)?.unwrap_or_default();
    let document = String::from_utf8_lossy(&bytes);
    let (description, lines) = match Proposal::parse(&document) {
        Ok(proposal) => (proposal.description.clone(), changes::lines(&proposal.edit)),
        // It was a proposal when it was applied; whatever it is now is shown as it is.
        Err(_) => (String::new(), document.lines().map(|line| DiffLine { class: "same", text: line.into() }).collect()),
    };
    Ok(EditShown {
        candidate: id.0,
        name: cast.known(id).name.clone(),
        brought: brought(cast, id)
            .map_or("not measured in full".to_owned(), |brought| format!("{brought} combined_score")),
        proposer: match cast.proposer(id) {
            proposer if proposer == "given" => "given in the corpus".to_owned(),
            proposer => format!("proposed by {proposer}"),
        },
        description,
        lines,
    })
}
