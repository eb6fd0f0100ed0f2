//! `packevolve show`.

use clap::Args;
use packevolve_contract::evaluation::Evaluation;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::format::Format;
use crate::run::fold::Run;
use crate::search::DuelResult;
use crate::values::candidate::CandidateId;
use crate::values::event::Selection;
use crate::view::format;
use crate::view::inspect::{self, Compared, FORMAT, Row, Scored};
use crate::view::output::{harmless, print};
use crate::view::terminal::{Terminal, Tone};

/// Show one candidate
///
/// Shows its origin, its measurements or the reason for its rejection, and its proposal.
#[derive(Debug, Args)]
pub struct Show {
    /// Number, NAME, commit prefix, `best` or `seed`
    candidate: String,
    #[command(flatten)]
    run: RunArgs,
    /// Print its program instead
    #[arg(long)]
    program: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve show --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct ShowJson {
    format: u32,
    #[serde(flatten)]
    row: Row,
    selection: Option<Selection>,
    proposal: Option<String>,
    evaluation: Option<Evaluation>,
    /// Half the width of the interval of `combined_score`, two standard errors: its own and the baseline's together.
    half_width: Option<f64>,
}

impl Show {
    pub fn run(&self) -> Result<(), CommandError> {
        let run = self.run.open()?;
        let candidate = run.candidate(&self.candidate)?;
        if self.program {
            let program = run.programs.program(candidate)?.to_string();
            return Ok(print(if Terminal::of_stdout().is_terminal { harmless(&program) } else { program })?);
        }
        let evaluation = run.evaluation(candidate)?;
        let shown = ShowJson {
            format: FORMAT,
            row: Row::of(&run.search, candidate),
            selection: run.selection(candidate)?,
            proposal: run.programs.proposal(candidate)?.map(|proposal| proposal.lossy().into_owned()),
            half_width: half_width(&run, candidate, evaluation.as_ref())?,
            evaluation,
        };
        Ok(self.format.print(&shown, |terminal| text(&run, &shown, terminal))?)
    }
}

/// Of the measurements that the scores of a candidate follow from; `None` if it has none.
fn half_width(run: &Run, candidate: CandidateId, evaluation: Option<&Evaluation>) -> Result<Option<f64>, CommandError> {
    // One window tells nothing about the spread.
    let known = run.search.candidate(candidate).filter(|known| known.scores().is_some() && !known.is_partial);
    let measured = evaluation.and_then(Evaluation::measurement);
    let Some((known, measured)) = known.zip(measured) else { return Ok(None) };
    let is_refuted = known.held_out.as_ref().is_some_and(|result| !result.confirmed);
    let duels = if is_refuted { run.duels(candidate)? } else { Vec::new() };
    let measured = run.search.compared(known.device, measured);
    let in_duel = known.duels.last().map(|result| result.device);
    Ok(match duels.last().and_then(|(_, duel)| duel.contender.measured()) {
        Some(last) => run.search.pooled_half_width(&measured.pooled(&run.search.compared(in_duel, last))),
        None => run.search.half_width(&measured),
    })
}

fn text(run: &Run, shown: &ShowJson, terminal: &Terminal) -> String {
    let Row { candidate, name, commit, .. } = &shown.row;
    let parents: Vec<Row> = shown.row.parents.iter().map(|id| Row::of(&run.search, *id)).collect();
    let heading = terminal.paint(Tone::Heading, &format!("candidate {candidate}: {}", harmless(name)));
    let proposal = shown.proposal.as_ref().map_or(String::new(), |text| proposal_text(text, terminal));
    format!(
        "{heading}\n{}commit {commit}\n{}\n{}{}{}{proposal}",
        origin(shown, &parents),
        outcome(run, &shown.row, terminal),
        duels(run, &shown.row),
        verdict(run, shown, terminal),
        against_parent(&parents, &shown.row, terminal)
    )
}

fn origin(shown: &ShowJson, parents: &[Row]) -> String {
    let parent = |row: &Row| format!("{} ({})", row.candidate, harmless(&row.name));
    shown.selection.as_ref().map_or(String::new(), |selection| {
        let parents = parents.iter().map(parent).collect::<Vec<_>>().join(" that merges ");
        format!("an edit of {parents}, proposed by {}\n", selection.proposer)
    })
}

fn outcome(run: &Run, row: &Row, terminal: &Terminal) -> String {
    let is_best = run.search.best().map(|best| best.candidate) == Some(row.candidate);
    let held_out = row.held_out.as_ref().map_or("", |held_out| match held_out.confirmed {
        true => ", confirmed on held-out windows",
        false => ", refuted on held-out windows",
    });
    let on_device = row.device.as_ref().map_or(String::new(), |device| format!(" on {}", harmless(device)));
    let best = if is_best { ", the best of the run" } else { "" };
    let partly = if row.partial { ", partial: on one window of each case so far" } else { "" };
    let tone = match row.outcome {
        "rejected" | "inconsistent" => Tone::Bad,
        _ if is_best => Tone::Good,
        _ => return format!("{}{partly}{on_device}{held_out}", row.outcome),
    };
    terminal.paint(tone, &format!("{}{partly}{on_device}{held_out}{best}", row.outcome))
}

/// A line for each duel.
fn duels(run: &Run, row: &Row) -> String {
    let device = |result| {
        inspect::device_name(&run.search, Some(result)).map_or(String::new(), |name| format!(" on {}", harmless(name)))
    };
    let line = |result: &DuelResult| format!("duel{}: {}\n", device(result.device), inspect::duel_result_text(result));
    row.duels.iter().map(line).collect()
}

fn verdict(run: &Run, shown: &ShowJson, terminal: &Terminal) -> String {
    match (&shown.evaluation, &shown.row.scores) {
        (
            Some(evaluation @ (Evaluation::Measured { measurement } | Evaluation::Inconsistent { measurement, .. })),
            Some(scores),
        ) => {
            let cases = &run.search.origin().cases;
            let against = "the baseline program of the run";
            let scored = Scored::of(scores, shown.half_width, measurement, evaluation);
            let text = inspect::scores_text(&scored, cases, against, terminal);
            let rebalance = format::rebalance(&[(&shown.row.name, &scores.rebalance)], terminal);
            format!("\n{text}{}{rebalance}", if rebalance.is_empty() { "" } else { "\n" })
        }
        (Some(Evaluation::Rejected { rejection, evidence }), _) => {
            let reason = terminal.paint(Tone::Bad, &format!("it {}", harmless(&rejection.to_string())));
            format!("\n{reason}\n{}", inspect::evidence_text(evidence))
        }
        (Some(Evaluation::Inconsistent { inconsistencies, .. }), _) => {
            terminal.paint(Tone::Bad, &inspect::consistency_text(inconsistencies))
        }
        (Some(Evaluation::Outclassed { at_best, .. }), _) => {
            format!("stopped early: it could have scored at most {}\n", format::score(*at_best))
        }
        _ => String::new(),
    }
}

fn against_parent(parents: &[Row], row: &Row, terminal: &Terminal) -> String {
    match parents.first() {
        Some(parent) if parent.scores.is_some() && row.scores.is_some() => {
            let table = inspect::compared_table(&Compared::new(parent.clone(), row.clone()), terminal);
            format!("\n{}\n{table}", terminal.paint(Tone::Heading, "against the program that it edits:"))
        }
        _ => String::new(),
    }
}

fn proposal_text(document: &str, terminal: &Terminal) -> String {
    let mut tone = None;
    let mut text = String::from("\n");
    for line in harmless(document.trim_end()).lines() {
        let marker =
            ["<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"].iter().position(|marker| line.trim_end() == *marker);
        let painted = match marker {
            Some(_) => terminal.paint(Tone::Place, line),
            None => tone.map_or(line.to_owned(), |tone| terminal.paint(tone, line)),
        };
        tone = match marker {
            Some(0) => Some(Tone::Bad),
            Some(1) if tone == Some(Tone::Bad) => Some(Tone::Good),
            Some(2) => None,
            _ => tone,
        };
        text += &painted;
        text.push('\n');
    }
    text
}
