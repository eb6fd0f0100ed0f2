//! Edits: the proposals that lead from the seed program to the best, in order, and the gain of each.

use crate::archive::ProgramsError;
use crate::edit::blame::{Lines, blame};
use crate::edit::proposal::Proposal;
use crate::values::candidate::CandidateId;
use crate::view::format::{count, milliseconds, or_none, percent, score, signed};
use crate::view::report::cast::NamedCandidates;
use crate::view::report::changes;
use crate::view::report::machine::name;
use crate::view::report::page::{Block, Cell, DiffLine, EditShown, Section, Table};

/// The number of lines of a description that are visible at once.
const LEAD: usize = 6;

pub fn section(cast: &NamedCandidates<'_>) -> Result<Section, ProgramsError> {
    let line = cast.winning_line();
    let mut blocks = Vec::new();
    if let Some((_, edited)) = line.split_first() {
        let text = format!(
            "{} from the seed program to the best, each with what it changed on the windows of the search, and how many of \
             the lines that it wrote are left in the best. An edit may cost something first and pay later.",
            count(edited.len(), "edit leads", "edits lead")
        );
        blocks.push(Block::words(text));
        blocks.push(Block::Table(table(cast, &line, &lines(cast, &line)?)));
        let edits = edited.iter().map(|id| shown(cast, *id)).collect::<Result<_, _>>()?;
        blocks.push(Block::Edits { edits });
        blocks.extend(cast.best.map(|best| Block::words(again(cast, best))));
    }
    Ok(Section { id: "edits", title: "The winning edits", blocks })
}

/// The command that reproduces the edits.
fn again(cast: &NamedCandidates<'_>, best: CandidateId) -> String {
    let replay = format!("packevolve replay {best} --run {}", name(cast.run));
    format!(
        "\u{201c}{replay}\u{201d} derives these programs from the seed program, compares every program and commit id, and \
         measures the best again; with \u{201c}--export DIR\u{201d} it writes them as files for \u{201c}packevolve apply\u{201d}."
    )
}

/// What each program of a line wrote, and what is left of it.
fn lines(cast: &NamedCandidates<'_>, line: &[CandidateId]) -> Result<Vec<Lines>, ProgramsError> {
    Ok(blame(&cast.run.programs_of(line)?))
}

fn table(cast: &NamedCandidates<'_>, line: &[CandidateId], lines: &[Lines]) -> Table {
    let columns = ["", "edit", "mean\ngap, %#", "unit,\nms#", "combined_\nscore#", "gain#", "lines\nleft#"];
    let mut table = Table::new("From the seed program to the best, edit by edit", columns);
    for (id, Lines { wrote, left }) in line.iter().zip(lines) {
        let name = cast.known(*id).name.clone();
        let scores = cast.scores(*id);
        let figures = scores.map(|scores| {
            [
                or_none(cast.mean_gap(scores).map(percent)),
                or_none(scores.normalised_unit_seconds.map(milliseconds)),
                score(scores.combined_score),
            ]
        });
        let figures = figures.unwrap_or_else(|| std::array::from_fn(|_| or_none(None::<String>)));
        let gain = if *id == CandidateId::SEED { String::new() } else { or_none(gain(cast, *id)) };
        let first = [Cell::from(id.to_string()), Cell::name(name)];
        let left = if *wrote > 0 { format!("{left} of {wrote}") } else { String::new() };
        let last = [gain, left];
        table.row(first.into_iter().chain(figures.map(Cell::from)).chain(last.map(Cell::from))).is_best =
            Some(*id) == cast.best;
    }
    table
}

/// The difference of a candidate's score and that of its first parent.
fn gain(cast: &NamedCandidates<'_>, id: CandidateId) -> Option<String> {
    let parent = *cast.known(id).parents.first()?;
    Some(signed(cast.scores(id)?.combined_score - cast.scores(parent)?.combined_score, 4))
}

/// The gain of an edit in words.
fn gain_in_words(cast: &NamedCandidates<'_>, id: CandidateId) -> String {
    let parent = cast.known(id).parents.first().and_then(|parent| cast.scores(*parent));
    let (Some(parent), Some(own), Some(gain)) = (parent, cast.scores(id), gain(cast, id)) else {
        return "not measured in full".to_owned();
    };
    let mut parts = vec![format!("{gain} combined_score")];
    let gaps = cast.mean_gap(parent).zip(cast.mean_gap(own));
    parts.extend(gaps.map(|(before, after)| format!("gap {} → {} %", percent(before), percent(after))));
    let units = parent.normalised_unit_seconds.zip(own.normalised_unit_seconds);
    parts.extend(units.map(|(before, after)| format!("unit {} → {} ms", milliseconds(before), milliseconds(after))));
    parts.join(", ")
}

/// The beginning of a description: what stands before its first list, at most a few lines.
fn lead(description: &str) -> String {
    let lines: Vec<&str> = description.lines().collect();
    // The last line before a list says what is listed.
    let before =
        lines.iter().position(|line| line.starts_with("* ")).map_or(lines.len(), |list| list.saturating_sub(1));
    let shown = if before == 0 { lines.len() } else { before };
    lines[..shown.min(LEAD)].join("\n").trim().to_owned()
}

fn shown(cast: &NamedCandidates<'_>, id: CandidateId) -> Result<EditShown, ProgramsError> {
    let proposal = cast.run.programs.proposal(id)?.ok_or(ProgramsError::Moved(id))?;
    let document = proposal.lossy();
    let (description, lines) = match Proposal::parse(&document) {
        Ok(proposal) => (proposal.description.clone(), changes::lines(&proposal.edit)),
        // It was a proposal when it was applied; show it unchanged.
        Err(_) => (String::new(), document.lines().map(|line| DiffLine { class: "same", text: line.into() }).collect()),
    };
    Ok(EditShown {
        candidate: id.0,
        name: cast.known(id).name.clone(),
        gain: gain_in_words(cast, id),
        proposer: match cast.proposer(id) {
            proposer if proposer == "given" => "given in the corpus".to_owned(),
            proposer => format!("proposed by {proposer}"),
        },
        lead: lead(&description),
        description,
        lines,
    })
}
