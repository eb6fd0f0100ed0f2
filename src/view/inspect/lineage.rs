//! Lineage: the edits that lead from the seed program to a candidate, and what each of them gained.

use packevolve_contract::case::Case;
use packevolve_contract::objective::Scores;
use schemars::JsonSchema;
use serde::Serialize;

use crate::edit::blame::Lines;
use crate::search::Search;
use crate::values::candidate::CandidateId;
use crate::view::format::{count, doubt_line, milliseconds, or_none, score, signed};
use crate::view::inspect::row::{Row, gap_cells, gap_headings, shown_cases};
use crate::view::output::harmless;
use crate::view::table::Table;
use crate::view::terminal::{Terminal, Tone};

/// The line from the seed program to a candidate, along the programs that were edited.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Lineage {
    /// The last candidate of the line.
    pub candidate: CandidateId,
    /// From the seed program on.
    pub steps: Vec<Ancestor>,
    /// The candidate whose edit gained most; `None` if no edit gained anything.
    pub largest_gain: Option<CandidateId>,
}

/// A program of the line.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Ancestor {
    #[serde(flatten)]
    pub row: Row,
    /// Its parents beside the edited one.
    pub merges: Vec<CandidateId>,
    /// Its gain over the last program of the line that was measured in full; `None` if it was not measured in full itself.
    pub gain: Option<ScoreGain>,
    /// How many of the lines that it wrote are left at the end of the line; `None` without the programs.
    pub lines: Option<Lines>,
}

/// The differences of the scores of two programs. Positive is better.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ScoreGain {
    pub combined_score: f64,
    pub quality: Option<f64>,
    pub speed_score: f64,
    pub balancedness_score: f64,
    /// How many times as fast the unit is.
    pub unit_speedup: Option<f64>,
}

impl ScoreGain {
    pub fn between(before: &Scores, after: &Scores) -> Self {
        let units = before.normalised_unit_seconds.zip(after.normalised_unit_seconds);
        Self {
            combined_score: after.combined_score - before.combined_score,
            quality: after.quality.zip(before.quality).map(|(after, before)| after - before),
            speed_score: after.speed_score - before.speed_score,
            balancedness_score: after.balancedness_score - before.balancedness_score,
            unit_speedup: units.map(|(before, after)| before / after),
        }
    }
}

impl Lineage {
    /// Of these programs, each an edit of the one before, with their lines, if these are known.
    ///
    /// # Panics
    /// Without any.
    pub fn of(search: &Search, line: &[CandidateId], lines: &[Lines]) -> Self {
        let mut steps: Vec<Ancestor> = Vec::new();
        let mut before: Option<Scores> = None;
        for (at, id) in line.iter().enumerate() {
            let row = Row::of(search, *id);
            let gain = before.as_ref().zip(row.scores.as_ref()).map(|(old, new)| ScoreGain::between(old, new));
            before = row.scores.clone().or(before);
            let merges = row.parents.iter().skip(1).copied().collect();
            steps.push(Ancestor { row, merges, gain, lines: lines.get(at).copied() });
        }
        let candidate = *line.last().expect("BUG: a lineage leads to a candidate");
        Self { candidate, largest_gain: largest_gain(&steps), steps }
    }

    /// As a table, a line an edit, and the edit that gained most.
    pub fn text(&self, cases: &[Case], run: &str, terminal: &Terminal) -> String {
        let rows: Vec<&Row> = self.steps.iter().map(|step| &step.row).collect();
        let names = shown_cases(&rows, cases);
        let first = "##|combined#|gain#|quality#|speed#|unit\nms#|balanced-\nness#";
        let header = format!("{first}|{}lines\nleft#|proposer|edit", gap_headings(&names));
        let lines = self.steps.iter().map(|step| step.cells(&names)).collect();
        let tone = |step: &Ancestor| (Some(step.row.candidate) == self.largest_gain).then_some(Tone::Good);
        let gaps = 7..7 + names.len();
        let expendable = gaps.clone().rev().chain([6, gaps.end + 1, gaps.end, 3, 4]);
        let table = Table::new(&header, lines).expendable(expendable).tones(self.steps.iter().map(tone));
        let doubt = doubt_line(rows.iter().any(|row| !row.doubtful.is_empty()));
        format!("{}{doubt}\n{}", table.draw(terminal), self.largest_gain_text(run))
    }

    fn largest_gain_text(&self, run: &str) -> String {
        let Some(at) = self.steps.iter().position(|step| Some(step.row.candidate) == self.largest_gain) else {
            return String::new();
        };
        let Ancestor { row, gain, lines, .. } = &self.steps[at];
        let gain = gain.as_ref().map_or(0.0, |gain| gain.combined_score);
        let (before, this) = (self.steps[at - 1].row.candidate, row.candidate);
        let left = lines.map_or(String::new(), |Lines { wrote, left }| {
            let survive = if left == 1 { "survives" } else { "survive" };
            format!("\nit wrote {}, of which {left} {survive} in {}", count(wrote, "line", "lines"), self.candidate)
        });
        format!(
            "\nlargest gain: candidate {this}, {gain:+.4}: {}{left}\n  packevolve show {this} --run {run}\n  \
             packevolve diff {before} {this} --run {run}\n",
            harmless(&row.name)
        )
    }
}

fn largest_gain(steps: &[Ancestor]) -> Option<CandidateId> {
    let gain = |step: &&Ancestor| step.gain.as_ref().map_or(0.0, |gain| gain.combined_score);
    let largest = steps.iter().filter(|step| gain(step) > 0.0).max_by(|a, b| gain(a).total_cmp(&gain(b)));
    largest.map(|step| step.row.candidate)
}

impl Ancestor {
    fn cells(&self, cases: &[String]) -> Vec<String> {
        let Row { candidate, proposer, outcome, scores, .. } = &self.row;
        let mut cells = vec![candidate.to_string()];
        match scores {
            None => {
                cells.push((*outcome).to_owned());
                cells.resize(7 + cases.len(), String::new());
            }
            Some(scores) => {
                let gain = self.gain.as_ref().map(|gain| signed(gain.combined_score, 4));
                let combined = self.row.marked(score(scores.combined_score));
                cells.extend([combined, gain.unwrap_or_default()]);
                cells.extend([
                    or_none(scores.quality.map(score)),
                    score(scores.speed_score),
                    scores.normalised_unit_seconds.map_or(String::new(), milliseconds),
                    format!("{:.4}", scores.balancedness_score),
                ]);
                cells.extend(gap_cells(&self.row, cases));
            }
        }
        let lines = self.lines.filter(|lines| lines.wrote > 0);
        cells.push(lines.map_or(String::new(), |Lines { wrote, left }| format!("{left} of {wrote}")));
        cells.push(proposer.map_or(String::new(), |proposer| proposer.to_string()));
        let merges: Vec<String> = self.merges.iter().map(ToString::to_string).collect();
        let merges = if merges.is_empty() { String::new() } else { format!(" (merges {})", merges.join(", ")) };
        cells.push(self.row.marked_name() + &merges);
        cells
    }
}
