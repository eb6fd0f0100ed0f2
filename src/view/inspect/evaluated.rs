//! Evaluated: the measurements and scores of a program, or why it was rejected.

use packevolve_contract::adrs::AdrsScores;
use packevolve_contract::case::Case;
use packevolve_contract::comparison::Comparison;
use packevolve_contract::evaluation::{Compilation, Evaluation, Measurement};
use packevolve_contract::inconsistency::Inconsistency;
use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::policy::PolicyScore;
use packevolve_contract::protocol::Ready;
use packevolve_contract::rebalance::RebalanceScore;
use packevolve_contract::rejection::Evidence;
use schemars::JsonSchema;
use serde::Serialize;

use crate::view::format::{self, doubt_line, doubted, milliseconds, or_none, percent, quartiles, times, with_interval};
use crate::view::output::harmless;
use crate::view::policy::{lost_text, moved_text, won_text};
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
    /// The seed of the windows that are made up or derived.
    pub loads_seed: u64,
    /// The score preset: `packevolve` or `adrs`.
    pub score: &'static str,
    /// `None` if it was rejected.
    pub scores: Option<Scores>,
    /// Half the width of the interval of `combined_score`, two standard errors: its own and the baseline's together.
    pub half_width: Option<f64>,
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

/// The torch that programs use, and that of the judge itself if it is another one.
pub fn torch_text(judge: &Ready) -> String {
    let Ready { torch, judge_torch, .. } = judge;
    match judge_torch.as_str() {
        "" => torch.clone(),
        own if own == torch => torch.clone(),
        own => format!("{torch} runs the programs, the judge itself uses {own}"),
    }
}

/// An evaluation as text: a line a case, then the scores; or the rejection.
pub fn evaluated_text(evaluated: &Evaluated, cases: &[Case], terminal: &Terminal) -> String {
    let Ready { device, device_name, windows, real_windows, .. } = &evaluated.judge;
    let torch = torch_text(&evaluated.judge);
    let head = format!(
        "{} on {device} ({device_name}, torch {torch}), {windows} windows of loads, {real_windows} of them as given, \
         loads_seed {}\n\n",
        evaluated.program, evaluated.loads_seed
    );
    match (&evaluated.scores, &evaluated.evaluation) {
        (Some(scores), Evaluation::Measured { measurement } | Evaluation::Inconsistent { measurement, .. }) => {
            let scored = Scored::of(scores, evaluated.half_width, measurement, &evaluated.evaluation);
            let parts = [
                scores_text(&scored, cases, &evaluated.against, terminal),
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

/// Scores with what they follow from.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    pub scores: &'a Scores,
    pub half_width: Option<f64>,
    pub measurement: &'a Measurement,
    /// Empty if the program is consistent.
    pub inconsistencies: &'a [Inconsistency],
}

impl<'a> Scored<'a> {
    pub fn of(
        scores: &'a Scores,
        half_width: Option<f64>,
        measurement: &'a Measurement,
        evaluation: &'a Evaluation,
    ) -> Self {
        let inconsistencies = match evaluation {
            Evaluation::Inconsistent { inconsistencies, .. } => inconsistencies,
            _ => &[][..],
        };
        Self { scores, half_width, measurement, inconsistencies }
    }
}

/// Scores as a table of cases and a line of totals.
pub fn scores_text(scored: &Scored<'_>, cases: &[Case], against: &str, terminal: &Terminal) -> String {
    let Scored { scores, half_width, measurement, inconsistencies } = *scored;
    let header = "case|rows#|windows#|balanced-\nness#|on the next\nwindow#|gap %#|worst\nrow %#|\
                  time ms,\nmean#|\nquartiles#|speedup#|quality#";
    if let Some(policy) = &scores.policy {
        return policy_text(policy, scored, against, terminal);
    }
    let doubtful = &measurement.calibration.doubtful;
    let rows: Vec<Vec<String>> = scores.cases.iter().map(|score| case_cells(score, cases, doubtful)).collect();
    let quality = scores.quality.map_or("none, no case has a gap to close".to_owned(), format::score);
    let unit = scores.normalised_unit_seconds.map_or("not measured".to_owned(), |s| format!("{} ms", milliseconds(s)));
    format!(
        "{}{}\n\nbalancedness_score {:.6}   quality {quality}   speed_score {}   combined_score {}\n\
         unit (all packing calls of one rebalance) {unit}   first call {} ms as measured   peak memory {} MiB\n{}{}\
         quality and speed are relative to {against}; times are normalised by the reference program timed beside each call\n",
        Table::new(header, rows).expendable([8, 1, 6, 2, 4]).draw(terminal),
        doubt_line(!doubtful.is_empty()),
        scores.balancedness_score,
        format::score(scores.speed_score),
        doubted(with_interval(scores.combined_score, half_width), !doubtful.is_empty()),
        milliseconds(measurement.first_call_seconds),
        measurement.peak_memory_bytes >> 20,
        compilation_text(measurement.compilation),
        consistency_text(inconsistencies),
    )
}

/// The figures of a policy.
fn policy_text(policy: &PolicyScore, scored: &Scored<'_>, against: &str, terminal: &Terminal) -> String {
    let Scored { half_width, measurement, inconsistencies, .. } = *scored;
    format!(
        "{}\n{}\ncombined_score {}   {}\npeak memory {} MiB\n{}{}",
        lost_text(policy, against, terminal),
        moved_text(policy),
        with_interval(policy.combined_score, half_width),
        won_text(policy),
        measurement.peak_memory_bytes >> 20,
        compilation_text(measurement.compilation),
        consistency_text(inconsistencies),
    )
}

/// What Numba compiled before the scored calls, and in how many of those.
fn compilation_text(compilation: Option<Compilation>) -> String {
    let Some(Compilation { functions, seconds, in_scored_calls }) = compilation else { return String::new() };
    let again = match in_scored_calls {
        0 => String::new(),
        calls => format!("; {calls} scored calls compiled again, and were charged for it"),
    };
    match functions {
        0 => format!("Numba compiled nothing before the first scored call{again}\n"),
        1 => format!("Numba compiled 1 function in {seconds:.1} s before the first scored call{again}\n"),
        _ => format!("Numba compiled {functions} functions in {seconds:.1} s before the first scored call{again}\n"),
    }
}

/// A line for each way in which a program is inconsistent.
pub fn consistency_text(inconsistencies: &[Inconsistency]) -> String {
    match inconsistencies {
        [] => "consistent: another process answers alike, and a row is packed alike beside any other rows\n".to_owned(),
        each => each.iter().map(|inconsistency| format!("NOT consistent: {inconsistency}\n")).collect(),
    }
}

fn case_cells(score: &CaseScore, cases: &[Case], doubtful: &[String]) -> Vec<String> {
    let is_doubtful = doubtful.contains(&score.case);
    let rows = cases.iter().find(|case| case.to_string() == score.case).map_or(String::new(), |c| c.rows.to_string());
    vec![
        score.case.clone(),
        rows,
        score.windows.to_string(),
        format!("{:.6}", score.balancedness),
        or_none(score.next_balancedness.map(|next| format!("{next:.6}"))),
        format!("{:.4}", score.gap * 100.0),
        percent(score.worst_row_gap),
        doubted(milliseconds(score.normalised_seconds), is_doubtful),
        quartiles(score.normalised_quartiles),
        doubted(times(score.speedup), is_doubtful),
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
