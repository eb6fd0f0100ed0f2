//! Lineage: how a candidate came about, from the seed program on, and what each of the edits brought.

use packevolve_contract::case::Case;
use packevolve_contract::objective::Scores;
use serde::Serialize;

use crate::edit::blame::Lines;
use crate::search::Candidate;
use crate::values::candidate::CandidateId;
use crate::view::format::{milliseconds, signed};
use crate::view::inspect::row::Row;
use crate::view::inspect::row::{gap_cells, gap_headings, shown_cases};
use crate::view::output::harmless;
use crate::view::table::{Column, Table};
use crate::view::terminal::{Terminal, Tone};

/// The way from the seed program to a candidate, along the programs that were edited.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lineage {
    /// Where it leads.
    pub candidate: CandidateId,
    /// From the seed program on.
    pub steps: Vec<Step>,
    /// The step whose edit brought most; `None` if none of them brought anything.
    pub most: Option<CandidateId>,
}

/// One of the programs on the way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The program.
    #[serde(flatten)]
    pub row: Row,
    /// Programs beside the edited one that went into it.
    pub merges: Vec<CandidateId>,
    /// What its edit brought, against the last program on the way that was measured in full; `None` if it was not
    /// measured in full itself.
    pub brought: Option<Brought>,
    /// How much of what it wrote is left where the lineage leads; `None` if the archive does not tell.
    pub lines: Option<Lines>,
}

/// What one program has over another. Positive is better.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Brought {
    /// Difference of `combined_score`.
    pub combined_score: f64,
    /// Difference of `quality`.
    pub quality: Option<f64>,
    /// Difference of `speed_score`.
    pub speed_score: f64,
    /// Difference of `balancedness_score`.
    pub balancedness_score: f64,
    /// How many times as fast the unit is.
    pub unit_speedup: Option<f64>,
}

impl Brought {
    /// From one program to the other.
    pub fn between(before: &Scores, after: &Scores) -> Self {
        Self {
            combined_score: after.combined_score - before.combined_score,
            quality: after.quality.zip(before.quality).map(|(after, before)| after - before),
            speed_score: after.speed_score - before.speed_score,
            balancedness_score: after.balancedness_score - before.balancedness_score,
            unit_speedup: before
                .normalised_unit_seconds
                .zip(after.normalised_unit_seconds)
                .map(|(before, after)| before / after),
        }
    }
}

impl Lineage {
    /// Along these programs, each of them an edit of the one before, with what is known of their lines.
    ///
    /// # Panics
    /// Without any.
    pub fn of(line: &[(CandidateId, Candidate)], lines: &[Lines]) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        let mut before: Option<Scores> = None;
        for (at, (id, known)) in line.iter().enumerate() {
            let row = Row::of(*id, known);
            let brought = before.as_ref().zip(row.scores.as_ref()).map(|(old, new)| Brought::between(old, new));
            before = row.scores.clone().or(before);
            let merges = known.parents.iter().skip(1).copied().collect();
            steps.push(Step { row, merges, brought, lines: lines.get(at).copied() });
        }
        let candidate = line.last().expect("BUG: a lineage leads to a candidate").0;
        Self { candidate, most: most(&steps), steps }
    }

    /// As a table, a line an edit, and which of them brought most.
    pub fn text(&self, cases: &[Case], run: &str, terminal: &Terminal) -> String {
        let rows: Vec<&Row> = self.steps.iter().map(|step| &step.row).collect();
        let names = shown_cases(&rows, cases);
        let headings = gap_headings(&names);
        let mut header = vec![("#", Column::Right), ("combined", Column::Right), ("brought", Column::Right)];
        header.extend(["quality", "speed", "unit\nms", "balanced-\nness"].map(|name| (name, Column::Right)));
        header.extend(headings.iter().map(|name| (name.as_str(), Column::Right)));
        header.push(("lines\nleft", Column::Right));
        header.extend(["proposer", "edit"].map(|name| (name, Column::Left)));
        let lines = self.steps.iter().map(|step| step.cells(&names)).collect();
        let tone = |step: &Step| (Some(step.row.candidate) == self.most).then_some(Tone::Good);
        let gaps = 7..7 + names.len();
        let expendable = gaps.clone().rev().chain([6, gaps.end + 1, gaps.end, 3, 4]);
        let table = Table::new(&header, lines).expendable(expendable).tones(self.steps.iter().map(tone));
        format!("{}\n{}", table.draw(terminal), self.most_text(run))
    }

    fn most_text(&self, run: &str) -> String {
        let Some(at) = self.steps.iter().position(|step| Some(step.row.candidate) == self.most) else {
            return String::new();
        };
        let Step { row, brought, lines, .. } = &self.steps[at];
        let gain = brought.as_ref().map_or(0.0, |brought| brought.combined_score);
        let (before, this) = (self.steps[at - 1].row.candidate, row.candidate);
        let left = lines.map_or(String::new(), |Lines { wrote, left }| {
            let (lines, are) = (if wrote == 1 { "line" } else { "lines" }, if left == 1 { "is" } else { "are" });
            format!("\nof the {wrote} {lines} that it wrote {left} {are} left in {}", self.candidate)
        });
        format!(
            "\nmost was brought by the edit of {this}, {gain:+.4}: {}{left}\n  packevolve show {this} --run {run}\n  \
             packevolve diff {before} {this} --run {run}\n",
            harmless(&row.name)
        )
    }
}

fn most(steps: &[Step]) -> Option<CandidateId> {
    let gain = |step: &&Step| step.brought.as_ref().map_or(0.0, |brought| brought.combined_score);
    let most = steps.iter().filter(|step| gain(step) > 0.0).max_by(|a, b| gain(a).total_cmp(&gain(b)));
    most.map(|step| step.row.candidate)
}

impl Step {
    fn cells(&self, cases: &[String]) -> Vec<String> {
        let Row { candidate, name, proposer, outcome, scores, .. } = &self.row;
        let merges: Vec<String> = self.merges.iter().map(ToString::to_string).collect();
        let merges = if merges.is_empty() { String::new() } else { format!(" (merges {})", merges.join(", ")) };
        let edit = harmless(name) + &merges;
        let mut cells = vec![candidate.to_string()];
        match scores {
            None => {
                cells.push((*outcome).to_owned());
                cells.resize(7 + cases.len(), String::new());
            }
            Some(scores) => {
                let brought = self.brought.as_ref().map(|brought| signed(brought.combined_score, 4));
                cells.extend([format!("{:.4}", scores.combined_score), brought.unwrap_or_default()]);
                cells.push(scores.quality.map_or("-".to_owned(), |quality| format!("{quality:.4}")));
                cells.push(format!("{:.4}", scores.speed_score));
                cells.push(scores.normalised_unit_seconds.map_or(String::new(), milliseconds));
                cells.push(format!("{:.4}", scores.balancedness_score));
                cells.extend(gap_cells(&self.row, cases));
            }
        }
        let lines = self.lines.filter(|lines| lines.wrote > 0);
        cells.push(lines.map_or(String::new(), |Lines { wrote, left }| format!("{left} of {wrote}")));
        cells.push(proposer.map_or(String::new(), |proposer| proposer.to_string()));
        cells.push(edit);
        cells
    }
}
