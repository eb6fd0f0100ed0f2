//! Edits: the proposals that lead from the seed program to the best, in order, and the gain of each.

use crate::archive::ProgramsError;
use crate::edit::blame::{Lines, blame};
use crate::edit::proposal::Proposal;
use crate::values::candidate::CandidateId;
use crate::view::format::{count, milliseconds, or_none, percent, score, signed};
use crate::view::report::changes;
use crate::view::report::data::ReportData;
use crate::view::report::machine::name;
use crate::view::report::page::{DiffLine, EditShown, Part, Section, Table};

/// The number of lines of a description that are visible at once.
const LEAD: usize = 6;

pub fn section(data: &ReportData<'_>) -> Result<Section, ProgramsError> {
    let line = data.winning_line();
    let mut parts = Vec::new();
    if let Some((_, edited)) = line.split_first() {
        let text = format!(
            "{} from the seed program to the best, each with what it changed on the windows of the search, and how many of \
             the lines that it wrote are left in the best. An edit may cost something first and pay later.",
            count(edited.len(), "edit leads", "edits lead")
        );
        parts.push(Part::Paragraph(text));
        parts.push(Part::Table(table(data, &line, &blame(&data.run.programs_of(&line)?))));
        parts.push(Part::Edits(edited.iter().map(|id| shown(data, *id)).collect::<Result<_, _>>()?));
        parts.extend(data.best.map(|best| Part::Paragraph(replaying(data, best))));
    }
    Ok(Section { id: "edits", title: "The winning edits", parts })
}

fn replaying(data: &ReportData<'_>, best: CandidateId) -> String {
    let replay = format!("packevolve replay {best} --run {}", name(data.run));
    format!(
        "\u{201c}{replay}\u{201d} derives these programs from the seed program, compares every program and commit id, and \
         measures the best again; with \u{201c}--export DIR\u{201d} it writes them as files for \u{201c}packevolve apply\u{201d}."
    )
}

pub(crate) fn table(data: &ReportData<'_>, line: &[CandidateId], lines: &[Lines]) -> Table {
    let columns = "|edit|mean\ngap, %#|unit,\nms#|combined_\nscore#|gain#|lines\nleft#";
    let mut table = Table::new("From the seed program to the best, edit by edit", columns);
    for (id, Lines { wrote, left }) in line.iter().zip(lines) {
        let scores = data.scores(*id);
        let cells = [
            id.to_string(),
            data.marked_name(*id),
            or_none(scores.and_then(|scores| data.mean_gap(scores)).map(percent)),
            or_none(scores.and_then(|scores| scores.normalised_unit_seconds).map(milliseconds)),
            or_none(scores.map(|scores| score(scores.combined_score))),
            if *id == CandidateId::SEED { String::new() } else { or_none(gain(data, *id)) },
            if *wrote > 0 { format!("{left} of {wrote}") } else { String::new() },
        ];
        table.row(cells).is_best = Some(*id) == data.best;
    }
    table.with_class(1, "name")
}

fn gain(data: &ReportData<'_>, id: CandidateId) -> Option<String> {
    let parent = *data.known(id).parents.first()?;
    Some(signed(data.scores(id)?.combined_score - data.scores(parent)?.combined_score, 4))
}

fn gain_in_words(data: &ReportData<'_>, id: CandidateId) -> String {
    let parent = data.known(id).parents.first().and_then(|parent| data.scores(*parent));
    let (Some(parent), Some(own), Some(gain)) = (parent, data.scores(id), gain(data, id)) else {
        return "not measured in full".to_owned();
    };
    let mut parts = vec![format!("{gain} combined_score")];
    let gaps = data.mean_gap(parent).zip(data.mean_gap(own));
    parts.extend(gaps.map(|(before, after)| format!("gap {} → {} %", percent(before), percent(after))));
    let units = parent.normalised_unit_seconds.zip(own.normalised_unit_seconds);
    parts.extend(units.map(|(before, after)| format!("unit {} → {} ms", milliseconds(before), milliseconds(after))));
    parts.join(", ")
}

/// The beginning of a description: what stands before its first list, at most a few lines.
fn lead(description: &str) -> String {
    let lines: Vec<&str> = description.lines().collect();
    let list = lines.iter().position(|line| line.starts_with("* "));
    // The line right before a list says what is listed.
    let shown = list.filter(|list| *list > 1).map_or(lines.len(), |list| list - 1);
    lines[..shown.min(LEAD)].join("\n").trim().to_owned()
}

pub(crate) fn shown(data: &ReportData<'_>, id: CandidateId) -> Result<EditShown, ProgramsError> {
    let proposal = data.run.programs.proposal(id)?.ok_or(ProgramsError::Moved(id))?;
    let document = proposal.lossy();
    let (description, lines) = match Proposal::parse(&document) {
        Ok(proposal) => (proposal.description.clone(), changes::lines(&proposal.edit)),
        // It was a proposal when it was applied; show it unchanged.
        Err(_) => (String::new(), document.lines().map(|line| DiffLine { class: "same", text: line.into() }).collect()),
    };
    Ok(EditShown {
        candidate: id.0,
        name: data.known(id).name.clone(),
        gain: gain_in_words(data, id),
        proposer: match data.proposer(id) {
            proposer if proposer == "given" => "given in the corpus".to_owned(),
            proposer => format!("proposed by {proposer}"),
        },
        lead: lead(&description),
        description,
        lines,
    })
}
