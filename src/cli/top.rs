//! `packevolve top`: the best candidates of a run.

use clap::Args;
use packevolve_contract::case::Case;
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::format::{Format, print_json};
use crate::cli::named::RunArguments;
use crate::values::candidate::CandidateId;
use crate::view::inspect::{self, FORMAT, Row};
use crate::view::output::print;
use crate::view::terminal::Terminal;

/// The best candidates of a run, best first. Behind them the best of the run, marked with a star, where other
/// candidates look better but were not better on held-out windows.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    run: RunArguments,
    /// How many; 0: all that have a score, which those that were rejected or stopped early have not.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    count: usize,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The shape is part of the interface.
#[derive(Serialize)]
struct Document {
    format: u32,
    best: Option<CandidateId>,
    candidates: Vec<Row>,
}

/// The best candidates, the best of the run, and the cases.
type Ranked = (Vec<Row>, Option<CandidateId>, Vec<Case>);

impl Top {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (rows, best, cases) = if self.count == 0 { self.all()? } else { self.some()? };
        match self.format {
            Format::Json => print_json(&Document { format: FORMAT, best, candidates: rows })?,
            Format::Table if rows.is_empty() => print("no candidate of this run was measured in full yet\n")?,
            Format::Table => {
                let table = inspect::rows_table(&rows, &cases, best, &Terminal::of_stdout());
                print(table + "\n" + beaten(&rows, best))?;
            }
        }
        Ok(Exit::Success)
    }

    fn all(&self) -> anyhow::Result<Ranked> {
        let run = self.run.open()?;
        let best = run.search.best().map(|best| best.candidate);
        Ok((inspect::top(&run.search, usize::MAX), best, run.search.origin().cases.clone()))
    }

    fn some(&self) -> anyhow::Result<Ranked> {
        let mut run = self.run.glance()?;
        let rows = run.top(self.count)?.iter().map(|(id, known)| Row::of(*id, known)).collect();
        Ok((rows, run.best(), run.start().origin().cases.clone()))
    }
}

/// Why others stand before the best, if they do.
fn beaten(rows: &[Row], best: Option<CandidateId>) -> &'static str {
    match rows.first() {
        Some(first) if Some(first.candidate) != best => {
            "* the best: nobody was better on held-out windows, where\n  only those come to that look better by enough\n"
        }
        _ => "",
    }
}
