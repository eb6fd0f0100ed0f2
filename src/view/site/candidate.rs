//! A candidate: its edit, its measurements or why it was rejected, its lineage and its family.

use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::objective::{CaseScore, Scores};

use crate::archive::ProgramsError;
use crate::edit::blame::blame;
use crate::search::Candidate;
use crate::values::candidate::CandidateId;
use crate::view::format::{milliseconds, or_none, percent, score, times};
use crate::view::inspect::{self, consistency_text, duel_result_text, evidence_text, proposer_name};
use crate::view::report::data::ReportData;
use crate::view::report::edits;
use crate::view::report::page::{Link, Part, Section, Table, Tile, arrow};
use crate::view::site::address;
use crate::view::site::frame::html;
use crate::view::site::shown::Shown;

/// The page of a candidate that the run has.
///
/// # Errors
/// The journal can no longer be read.
pub fn candidate(shown: &Shown<'_>, id: CandidateId) -> Result<String, ProgramsError> {
    let data = shown.data();
    let known = data.known(id);
    let sections =
        vec![measured(shown, &data, id)?, edit(shown, &data, id)?, lineage(shown, &data, id)?, family(shown, id)];
    let mut site = shown.site();
    site.above.push(Link { text: shown.name.to_owned(), href: address::run(shown.name) });
    Ok(html(format!("Candidate {id}: {}", known.name), state(shown, known), sections, &site))
}

fn state(shown: &Shown<'_>, known: &Candidate) -> String {
    let by = known.proposer.map_or("The seed program of the run".to_owned(), |proposer| {
        format!("Proposed by {}", proposer_name(proposer, shown.search()))
    });
    let outcome: &str = known.outcome.as_ref().map_or("waiting for a judge", Into::into);
    let device = inspect::device_name(shown.search(), known.device).map_or(String::new(), |name| format!(" on {name}"));
    let held_out = match &known.held_out {
        Some(result) if result.confirmed => ", confirmed on held-out windows",
        Some(_) => ", refuted on held-out windows",
        None => "",
    };
    format!("{by}; {outcome}{device}{held_out}. Commit {}, {} tokens.", known.commit, known.size)
}

fn measured(shown: &Shown<'_>, data: &ReportData<'_>, id: CandidateId) -> Result<Section, ProgramsError> {
    let known = data.known(id);
    let mut parts = Vec::new();
    if let Some(scores) = known.scores() {
        parts.push(Part::Tiles(tiles(data, known, scores)));
        parts.push(Part::Table(cases(scores)));
    }
    match shown.run.evaluation(id)? {
        Some(Evaluation::Rejected { rejection, evidence }) => {
            parts.push(Part::Paragraph(format!("It was rejected: it {rejection}.")));
            parts.push(Part::Text(evidence_text(&evidence).trim_end().to_owned()));
        }
        Some(Evaluation::Outclassed { at_best, .. }) => parts.push(Part::Paragraph(format!(
            "Its evaluation stopped early: it could have scored at most {}.",
            score(at_best)
        ))),
        Some(Evaluation::Inconsistent { inconsistencies, .. }) => {
            parts.push(Part::Paragraph(consistency_text(&inconsistencies).trim_end().to_owned()));
        }
        Some(Evaluation::Measured { .. }) => {}
        None => parts.push(Part::Paragraph("It was not measured yet.".to_owned())),
    }
    let mut duels = Table::new("Its duels", "against#|result");
    for result in &known.duels {
        duels.row([result.against.to_string(), duel_result_text(result)]);
        duels.link(0, address::candidate(shown.name, result.against));
    }
    if !duels.rows.is_empty() {
        parts.push(Part::Table(duels.with_class(1, "wraps")));
    }
    Ok(Section { id: "measured", title: "What was measured", parts })
}

fn tiles(data: &ReportData<'_>, known: &Candidate, scores: &Scores) -> Vec<Tile> {
    let before = known.parents.first().and_then(|parent| data.scores(*parent));
    let tile = |name, figure: &dyn Fn(&Scores) -> Option<String>| {
        let (before, after) = (before.and_then(figure).unwrap_or_default(), or_none(figure(scores)));
        let note = if before.is_empty() { "" } else { "from the program that it edits" };
        Tile { name, before, after, note: note.to_owned() }
    };
    vec![
        tile("combined_score", &|scores| Some(score(scores.combined_score))),
        tile("Quality", &|scores| scores.quality.map(score)),
        tile("All packing calls of one rebalance, ms", &|scores| scores.normalised_unit_seconds.map(milliseconds)),
        tile("Gap to the lower bound, %", &|scores| data.mean_gap(scores).map(percent)),
    ]
}

fn cases(scores: &Scores) -> Table {
    let columns = "case|windows#|balanced-\nness#|gap, %#|time, ms#|speedup#|quality#";
    let mut table = Table::new("Case by case (items→packs), on the windows of the search", columns);
    for case in &scores.cases {
        let CaseScore { windows, balancedness, gap, normalised_seconds, speedup, quality, .. } = case;
        table.row([
            arrow(&case.case),
            windows.to_string(),
            format!("{balancedness:.4}"),
            percent(*gap),
            milliseconds(*normalised_seconds),
            times(*speedup),
            or_none(quality.map(score)),
        ]);
    }
    table
}

fn edit(shown: &Shown<'_>, data: &ReportData<'_>, id: CandidateId) -> Result<Section, ProgramsError> {
    let mut parts = Vec::new();
    if id != CandidateId::SEED {
        parts.push(Part::Edits(vec![edits::shown(data, id)?]));
    }
    let mut program = Table::new("The whole program", "line#|text");
    for (number, line) in (1..).zip(shown.run.programs.program(id)?.lines()) {
        program.row([format!("{number}"), line.to_owned()]);
    }
    parts.push(Part::Folded(program.with_class(1, "tree")));
    Ok(Section { id: "edit", title: "Its edit and its program", parts })
}

fn lineage(shown: &Shown<'_>, data: &ReportData<'_>, id: CandidateId) -> Result<Section, ProgramsError> {
    let line = shown.search().line_to(id);
    let mut table = edits::table(data, &line, &blame(&shown.run.programs_of(&line)?));
    table.caption = "From the seed program to this one, edit by edit".to_owned();
    for (row, ancestor) in table.rows.iter_mut().zip(&line) {
        row.cells[0].href = address::candidate(shown.name, *ancestor);
        row.is_best = *ancestor == id;
    }
    let parts = if line.len() > 1 { vec![Part::Table(table)] } else { Vec::new() };
    Ok(Section { id: "lineage", title: "Lineage", parts })
}

fn family(shown: &Shown<'_>, id: CandidateId) -> Section {
    let search = shown.search();
    let children: Vec<CandidateId> =
        search.candidates().filter(|(_, known)| known.parents.contains(&id)).map(|(child, _)| child).collect();
    let parents = search.candidate(id).map_or(&[][..], |known| &known.parents).iter().copied();
    let mut parts = vec![Part::Table(shown.candidates("Its parents", parents))];
    parts.push(Part::Table(shown.candidates("Its children", children)));
    parts.retain(|part| !matches!(part, Part::Table(table) if table.rows.is_empty()));
    Section { id: "family", title: "Family", parts }
}
