//! `packevolve top`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use packevolve_contract::case::Case;
use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::serving::Serving;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::RunArgs;
use crate::cli::error::{CliError, CommandError};
use crate::cli::format::Format;
use crate::config::Config;
use crate::run::fold::Run;
use crate::values::candidate::CandidateId;
use crate::view::inspect::{self, FORMAT, Row};
use crate::view::terminal::Terminal;

/// List the best candidates of a run, best first
///
/// A star marks the best of the run. It follows below the list if others score higher on search windows but not on
/// held-out windows.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    run: RunArgs,
    /// Number of candidates to list
    #[arg(short = 'n', long, default_value = "10", value_name = "N")]
    count: NonZeroUsize,
    /// List all candidates with a score; rejected ones and those stopped early have none
    #[arg(long, conflicts_with = "count")]
    all: bool,
    /// List the Pareto front, which trades one part of the score for the other
    #[arg(long, conflicts_with_all = ["count", "all"])]
    front: bool,
    /// Of a run whose target is policy: settings whose `deployment` prices what was measured, instead of the run's
    #[arg(long, value_name = "FILE")]
    deployment: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve top --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct TopJson {
    format: u32,
    best: Option<CandidateId>,
    candidates: Vec<Row>,
}

impl Top {
    pub fn run(&self) -> Result<(), CommandError> {
        let run = self.run.open()?;
        let best = run.search.best().map(|best| best.candidate);
        let count = if self.all || self.front { usize::MAX } else { self.count.get() };
        let mut candidates = match &self.deployment {
            Some(path) => priced(&run, &Config::read(Some(path))?.serving()?, count)?,
            None => inspect::top(&run.search, count),
        };
        if self.front {
            let front: Vec<CandidateId> = run.search.elites().front().map(|member| member.candidate).collect();
            candidates.retain(|row| front.contains(&row.candidate));
        }
        let json = TopJson { format: FORMAT, best, candidates };
        let cases = &run.search.origin().cases;
        Ok(self.format.print(&json, |terminal| text(&json, cases, self.deployment.is_some(), terminal))?)
    }
}

/// The candidates with the highest scores at other prices, on the chains of the search alone.
fn priced(run: &Run, serving: &Serving, count: usize) -> Result<Vec<Row>, CommandError> {
    if run.search.settings().evaluation.policy.is_none() {
        return Err(CliError::NotPolicy.into());
    }
    let mut rows = inspect::top(&run.search, usize::MAX);
    for row in &mut rows {
        let evaluation = run.evaluation(row.candidate)?;
        let device = run.search.candidate(row.candidate).and_then(|known| known.device);
        let measured = evaluation.as_ref().and_then(Evaluation::measurement);
        row.scores = measured.and_then(|measured| run.search.priced(&run.search.compared(device, measured), serving));
        row.held_out = None;
    }
    let score = |row: &Row| row.scores.as_ref().map_or(f64::NEG_INFINITY, |scores| scores.combined_score);
    rows.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.candidate.cmp(&b.candidate)));
    rows.truncate(count);
    Ok(rows)
}

fn text(top: &TopJson, cases: &[Case], is_priced: bool, terminal: &Terminal) -> String {
    match &top.candidates[..] {
        [] => "this run has no fully measured candidate yet\n".to_owned(),
        rows => inspect::rows_table(rows, cases, top.best, terminal) + "\n" + beaten(rows, top.best, is_priced),
    }
}

/// Explains why others rank before the best, if they do.
fn beaten(rows: &[Row], best: Option<CandidateId>, is_priced: bool) -> &'static str {
    match rows.first() {
        Some(first) if Some(first.candidate) != best && is_priced => {
            "* best: at the prices of the run, by which its duels were decided\n"
        }
        Some(first) if Some(first.candidate) != best => {
            "* best: no candidate beat it in a duel; only clear\n  improvements have one\n"
        }
        _ => "",
    }
}
