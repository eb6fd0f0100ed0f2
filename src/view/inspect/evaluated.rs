//! Evaluated: the measurements and scores of a program, or why it was rejected.

use packevolve_contract::adrs::AdrsScores;
use packevolve_contract::case::Case;
use packevolve_contract::comparison::Comparison;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::protocol::Ready;
use packevolve_contract::rebalance::RebalanceScore;
use packevolve_contract::rejection::Evidence;
use schemars::JsonSchema;
use serde::Serialize;

use crate::view::format::{self, milliseconds, or_none, percent, quartiles, times};
use crate::view::output::harmless;
use crate::view::table::Table;
use crate::view::terminal::Terminal;

/// The result of `packevolve evaluate`. The shape of its JSON is part of the interface.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Evaluated {
    pub format: u32,
    /// Path of the program.
    pub program: String,
    /// Path of the program that scores are relative to.
    pub against: String,
    /// The judge that measured it.
    pub judge: Ready,
    /// The score preset: `packevolve` or `adrs`.
    pub score: &'static str,
    /// `None` if it was rejected.
    pub scores: Option<Scores>,
    /// Figures of `rebalance_experts` of the program that scores are relative to.
    pub rebalance_against: Vec<RebalanceScore>,
    /// The published scores of both; `None` if not asked for, or if they need more windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adrs: Option<Adrs>,
    /// Both programs in pairs over windows; `None` unless `--against` was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// All raw samples, or the rejection with its evidence.
    pub evaluation: Evaluation,
}

/// The published scores of a program and of the one that it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Adrs {
    pub program: AdrsScores,
    /// The other's, if it has them.
    pub against: Option<AdrsScores>,
}

/// An evaluation as text: a line a case, then the scores; or the rejection.
pub fn evaluated_text(evaluated: &Evaluated, cases: &[Case], terminal: &Terminal) -> String {
    let Ready { device, device_name, torch, windows, real_windows, .. } = &evaluated.judge;
    let head = format!(
        "{} on {device} ({device_name}, torch {torch}), {windows} windows of loads, {real_windows} of them as given\n\n",
        evaluated.program
    );
    match (&evaluated.scores, &evaluated.evaluation) {
        (Some(scores), Evaluation::Measured { measurement }) => {
            let parts = [
                scores_text(scores, measurement, cases, &evaluated.against, terminal),
                rebalance_text(evaluated, scores, terminal),
                evaluated.comparison.as_ref().map_or(String::new(), |comparison| {
                    format::comparison(comparison, &evaluated.program, &evaluated.against, terminal)
                }),
                adrs_text(evaluated, terminal),
            ];
            head + &parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
        }
        (_, Evaluation::Rejected { rejection, evidence }) => {
            format!("{head}rejected: it {}\n{}", harmless(&rejection.to_string()), evidence_text(evidence))
        }
        _ => head,
    }
}

/// `rebalance_experts` of the program and of the one that it is compared with.
fn rebalance_text(evaluated: &Evaluated, scores: &Scores, terminal: &Terminal) -> String {
    let mut sides = vec![(evaluated.program.as_str(), &scores.rebalance)];
    if evaluated.against != evaluated.program {
        sides.push((&evaluated.against, &evaluated.rebalance_against));
    }
    format::rebalance(&sides, terminal)
}

fn adrs_text(evaluated: &Evaluated, terminal: &Terminal) -> String {
    match &evaluated.adrs {
        Some(adrs) => {
            let against = adrs.against.map(|scores| (evaluated.against.as_str(), scores));
            let sides: Vec<_> = std::iter::once((evaluated.program.as_str(), adrs.program)).chain(against).collect();
            format::adrs(&sides, terminal)
        }
        None if evaluated.score == "adrs" => {
            "score preset adrs: no score, it needs a rebalance_experts and two windows of loads\n".to_owned()
        }
        None => String::new(),
    }
}

/// Scores as a table of cases and a line of totals.
pub fn scores_text(
    scores: &Scores,
    measurement: &Measurement,
    cases: &[Case],
    against: &str,
    terminal: &Terminal,
) -> String {
    let header = "case|rows#|windows#|balanced-\nness#|on the next\nwindow#|gap %#|worst\nrow %#|\
                  time ms,\nmean#|\nquartiles#|speedup#|quality#";
    let rows: Vec<Vec<String>> = scores.cases.iter().map(|score| case_cells(score, cases)).collect();
    let quality = scores.quality.map_or("none, no case has a gap to close".to_owned(), |q| format!("{q:.4}"));
    let unit = scores.normalised_unit_seconds.map_or("not measured".to_owned(), |s| format!("{} ms", milliseconds(s)));
    format!(
        "{}\n\nbalancedness_score {:.6}   quality {quality}   speed_score {:.4}   combined_score {:.4}\n\
         unit (all packing calls of one rebalance) {unit}   first call {} ms as measured   peak memory {} MiB\n{}\
         quality and speed are relative to {against}; times are normalised by the reference program timed beside each call\n",
        Table::new(header, rows).expendable([8, 1, 6, 2, 4]).draw(terminal),
        scores.balancedness_score,
        scores.speed_score,
        scores.combined_score,
        milliseconds(measurement.first_call_seconds),
        measurement.peak_memory_bytes >> 20,
        determinism_text(measurement),
    )
}

fn determinism_text(measurement: &Measurement) -> String {
    match (measurement.deterministic, &measurement.differs_in) {
        (Some(false), call) => {
            let call = call.as_deref().unwrap_or("a call");
            format!("NOT deterministic: {call} was answered differently when it was made again with the same seed\n")
        }
        (Some(true), _) => "deterministic: a call that was made again was answered as before\n".to_owned(),
        (None, _) => String::new(),
    }
}

fn case_cells(score: &CaseScore, cases: &[Case]) -> Vec<String> {
    let rows = cases.iter().find(|case| case.to_string() == score.case).map_or(String::new(), |c| c.rows.to_string());
    vec![
        score.case.clone(),
        rows,
        score.windows.to_string(),
        format!("{:.6}", score.balancedness),
        or_none(score.next_balancedness.map(|next| format!("{next:.6}"))),
        format!("{:.4}", score.gap * 100.0),
        percent(score.worst_row_gap),
        milliseconds(score.normalised_seconds),
        quartiles(score.normalised_quartiles),
        times(score.speedup),
        or_none(score.quality.map(format::score)),
    ]
}

pub fn evidence_text(evidence: &Evidence) -> String {
    let mut text = format!("during: {}\n", evidence.during);
    for (name, part) in [("traceback", &evidence.traceback), ("it printed", &evidence.output)] {
        if !part.is_empty() {
            text += &format!("{name}:\n{}\n", harmless(part.trim_end()));
        }
    }
    text
}
