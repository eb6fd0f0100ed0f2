//! Row: a candidate with its scores, and lists of them.

use packevolve_contract::case::Case;
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::policy::PolicyScore;
use schemars::JsonSchema;
use serde::Serialize;

use crate::search::{Candidate, DuelResult, Search};
use crate::values::candidate::{CandidateId, CommitId};
use crate::values::event::Proposer;
use crate::view::format::{doubt_line, doubted, milliseconds, or_none, percent, score};
use crate::view::output::harmless;
use crate::view::policy;
use crate::view::table::Table;
use crate::view::terminal::{Terminal, Tone};

/// A candidate in a list.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Row {
    pub candidate: CandidateId,
    /// NAME of its proposal.
    pub name: String,
    /// The source of its proposal; `None` for the seed program.
    pub proposer: Option<Proposer>,
    /// The program that was edited first.
    pub parents: Vec<CandidateId>,
    pub commit: CommitId,
    /// `waiting`, `measured`, `inconsistent`, `outclassed` or `rejected`.
    pub outcome: &'static str,
    /// Whether it was measured on one window of each case so far.
    pub partial: bool,
    /// In what way its answers depend on the process or on other rows; empty if they do not.
    pub inconsistencies: Vec<Inconsistency>,
    /// `None` unless it was measured in full; after a refutation those of the search and of its last duel together.
    pub scores: Option<Scores>,
    /// The model of the device that measured it, in a run whose devices differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Names of the cases whose times are doubtful, because the machine was disturbed for too long.
    pub doubtful: Vec<String>,
    /// The result on held-out windows, if a duel has decided about it.
    pub held_out: Option<HeldOutRow>,
    /// Its duels with the best of that time.
    pub duels: Vec<DuelResult>,
}

/// The result of a candidate on the held-out windows.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct HeldOutRow {
    /// Whether it became the best.
    pub confirmed: bool,
    /// Whether its times there are doubtful.
    pub doubtful: bool,
    /// The means over its duels, its cases pooled; `None` if it was rejected there.
    pub scores: Option<Scores>,
}

impl Row {
    /// # Panics
    /// If the search does not know the candidate.
    pub fn of(search: &Search, candidate: CandidateId) -> Self {
        let known = search.candidate(candidate).expect("BUG: a row is of a candidate of the run");
        Self {
            candidate,
            name: known.name.clone(),
            proposer: known.proposer,
            parents: known.parents.clone(),
            commit: known.commit,
            outcome: known.outcome.as_ref().map_or("waiting", Into::into),
            partial: known.is_partial,
            inconsistencies: known.inconsistencies.clone(),
            scores: known.scores().cloned(),
            device: device_name(search, known.device).map(str::to_owned),
            doubtful: known.doubtful.clone(),
            held_out: known.held_out.as_ref().map(|result| HeldOutRow {
                confirmed: result.confirmed,
                doubtful: result.is_doubtful,
                scores: result.scores.as_deref().cloned(),
            }),
            duels: known.duels.clone(),
        }
    }

    /// Its name, whether it is inconsistent or its verdict partial, and what measured it, if that tells anything.
    pub(super) fn marked_name(&self) -> String {
        let on_device = self.device.as_ref().map_or(String::new(), |device| format!(" on {}", harmless(device)));
        let marks = [(!self.inconsistencies.is_empty(), " (inconsistent)"), (self.partial, " (partial)")];
        let marks: String = marks.into_iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| mark).collect();
        harmless(&self.name) + &marks + &on_device
    }

    /// Marks a figure that depends on its times, if they are doubtful.
    pub(super) fn marked(&self, figure: String) -> String {
        doubted(figure, !self.doubtful.is_empty())
    }
}

/// The model of a device, in a run whose devices differ.
pub fn device_name(search: &Search, device: Option<usize>) -> Option<&str> {
    let places = search.places();
    device.filter(|_| places.are_mixed()).map(|device| places.devices()[device].judge.device_name.as_str())
}

/// The `count` candidates of a run with the highest scores, best first; behind them the best of the run, if it is not one
/// of them.
pub fn top(search: &Search, count: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = search.candidates().map(|(id, _)| Row::of(search, id)).collect();
    let score = |row: &Row| row.scores.as_ref().map_or(f64::NEG_INFINITY, |scores| scores.combined_score);
    rows.retain(|row| row.scores.is_some());
    rows.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.candidate.cmp(&b.candidate)));
    let best = search.best().and_then(|best| rows.iter().position(|row| row.candidate == best.candidate));
    let beyond = best.filter(|at| *at >= count).map(|at| rows[at].clone());
    rows.truncate(count);
    rows.extend(beyond);
    rows
}

/// The seed program, the candidates of the corpus, and the best: the closing table of a run.
pub fn closing(search: &Search) -> Vec<Row> {
    let best = search.best().map(|best| best.candidate);
    let is_named = |known: &Candidate| matches!(known.proposer, None | Some(Proposer::Corpus(_) | Proposer::Person(_)));
    search
        .candidates()
        .filter(|(id, known)| is_named(known) || Some(*id) == best)
        .map(|(id, _)| Row::of(search, id))
        .collect()
}

/// Rows as a table: a gap in percent for each case that has one to close, the time of the unit, the scores. Names are
/// long and of any length, so they stand last.
pub fn rows_table(rows: &[Row], cases: &[Case], best: Option<CandidateId>, terminal: &Terminal) -> String {
    let is_policy = rows.iter().any(|row| policy_of(row).is_some());
    let names = shown_cases(&rows.iter().collect::<Vec<_>>(), cases);
    let figures = if is_policy { policy::CELLS } else { names.len() };
    let held_out = rows.iter().any(|row| row.held_out.is_some());
    let last = if held_out { "held\nout|name" } else { "name" };
    let header = match is_policy {
        true => format!("##|served#|{}plan\nms#|balance\nwon#|stayed#|combined#|{last}", policy::HEADINGS),
        false => format!("##|balanced-\nness#|{}unit\nms#|quality#|speed#|combined#|{last}", gap_headings(&names)),
    };
    let cells = |row: &Row| -> Vec<String> {
        policy_of(row).map_or_else(|| gap_cells(row, &names).collect(), |policy| policy::cells(policy).to_vec())
    };
    let lines: Vec<Vec<String>> =
        rows.iter().map(|row| row_cells(row, (figures, cells(row)), best, held_out)).collect();
    let tone = |row: &Row| match row.outcome {
        _ if Some(row.candidate) == best => Some(Tone::Good),
        "rejected" | "inconsistent" => Some(Tone::Bad),
        _ => None,
    };
    // Gaps go first, those of the last cases before the others; the parts of the score go last.
    let gaps = 2..2 + figures;
    let (quality, speed) = (gaps.end + 1, gaps.end + 2);
    let is_doubtful = |row: &Row| !row.doubtful.is_empty() || row.held_out.as_ref().is_some_and(|there| there.doubtful);
    let table = Table::new(&header, lines)
        .expendable(gaps.rev().chain([1, quality, speed]))
        .tones(rows.iter().map(tone))
        .draw(terminal);
    table + doubt_line(rows.iter().any(is_doubtful))
}

/// The cases in which the baseline leaves a gap to close.
pub(super) fn shown_cases(rows: &[&Row], cases: &[Case]) -> Vec<String> {
    let has_quality = |row: &Row, name: &str| case_of(row, name).is_some_and(|case| case.quality.is_some());
    let is_shown = |name: &String| rows.iter().any(|row| has_quality(row, name));
    cases.iter().map(ToString::to_string).filter(is_shown).collect()
}

/// The headings of the gaps in these cases, each with the `|` that separates it from the next column.
pub(super) fn gap_headings(cases: &[String]) -> String {
    cases.iter().map(|name| format!("gap %\n{}#|", name.replace(' ', "\n"))).collect()
}

/// The gaps of a candidate in percent.
pub(super) fn gap_cells(row: &Row, cases: &[String]) -> impl Iterator<Item = String> {
    cases.iter().map(|name| case_of(row, name).map_or(String::new(), |case| percent(case.gap)))
}

/// `figures` of a candidate with scores, or as many empty cells.
fn row_cells(
    row: &Row,
    (count, figures): (usize, Vec<String>),
    best: Option<CandidateId>,
    held_out: bool,
) -> Vec<String> {
    let mark = if Some(row.candidate) == best { "*" } else { "" };
    let mut cells = vec![format!("{mark}{}", row.candidate)];
    match &row.scores {
        None => {
            cells.push(row.outcome.to_owned());
            cells.resize(count + 6, String::new());
        }
        Some(scores) => {
            cells.push(format!("{:.4}", scores.balancedness_score));
            cells.extend(figures);
            cells.push(scores.normalised_unit_seconds.map_or(String::new(), milliseconds));
            cells.push(or_none(scores.quality.map(score)));
            cells.push(score(scores.speed_score));
            cells.push(row.marked(score(scores.combined_score)));
        }
    }
    cells.extend(held_out.then(|| held_out_cell(row)));
    cells.push(row.marked_name());
    cells
}

fn held_out_cell(row: &Row) -> String {
    let Some(HeldOutRow { confirmed, doubtful, scores }) = &row.held_out else { return String::new() };
    let Some(scores) = scores else { return "rejected".to_owned() };
    doubted(score(scores.combined_score), *doubtful) + if *confirmed { "" } else { " refuted" }
}

fn policy_of(row: &Row) -> Option<&PolicyScore> {
    row.scores.as_ref()?.policy.as_ref()
}

fn case_of<'a>(row: &'a Row, name: &str) -> Option<&'a CaseScore> {
    row.scores.as_ref()?.cases.iter().find(|case| case.case == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::testing::{Script, World};

    #[test]
    fn the_best_and_the_refuted_fit_into_sixty_columns() {
        let search = World::finished(Script { held_out: 3, ..Script::smooth() }).search;
        let mut rows = top(&search, usize::MAX);
        for (row, confirmed) in rows.iter_mut().zip([true, false]) {
            row.held_out = Some(HeldOutRow { confirmed, doubtful: false, scores: row.scores.clone() });
        }
        let best = Some(rows[0].candidate);
        let terminal = Terminal { width: Some(60), ..Terminal::default() };
        let drawn = rows_table(&rows, &search.origin().cases, best, &terminal);
        assert!(drawn.contains(" refuted") && drawn.contains("combined"), "{drawn}");
        let widest = drawn.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(60), "{drawn}");
    }

    #[test]
    fn a_figure_that_is_doubtful_is_marked_and_the_mark_is_explained() {
        let search = World::finished(Script { held_out: 3, ..Script::smooth() }).search;
        let mut rows = top(&search, usize::MAX);
        let drawn = |rows: &[Row]| rows_table(rows, &search.origin().cases, None, &Terminal::default());
        assert!(!drawn(&rows).contains('?'), "{}", drawn(&rows));
        rows[0].doubtful = vec!["72->8".to_owned()];
        let marked = format!("{:.4}? ", rows[0].scores.as_ref().unwrap().combined_score);
        assert!(drawn(&rows).contains(&marked), "{}", drawn(&rows));
        assert!(drawn(&rows).contains("? doubtful: "), "{}", drawn(&rows));
        rows[0].doubtful.clear();
        rows[1].held_out = Some(HeldOutRow { confirmed: false, doubtful: true, scores: rows[1].scores.clone() });
        assert!(drawn(&rows).contains("? refuted"), "{}", drawn(&rows));
    }

    #[test]
    fn an_inconsistent_program_is_marked_by_its_name() {
        let search = World::finished(Script::smooth()).search;
        let mut rows = top(&search, 1);
        rows[0].inconsistencies = vec![Inconsistency::Rows { case: "8->4".to_owned(), rows: 1, of: 2 }];
        let drawn = rows_table(&rows, &search.origin().cases, None, &Terminal::default());
        assert!(drawn.contains(&format!("{} (inconsistent)", rows[0].name)), "{drawn}");
    }
}
