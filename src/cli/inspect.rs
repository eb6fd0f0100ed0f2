//! `packevolve top`, `show`, `log`: a run, looked at.

use std::path::PathBuf;

use clap::Args;
use packevolve_contract::evaluation::Evaluation;
use serde::Serialize;

use super::{Format, RunArguments, print_json};
use crate::candidate::CandidateId;
use crate::event::{Event, Selection};
use crate::exit::Exit;
use crate::figures;
use crate::glance::{Glance, Seen};
use crate::inspect::{self, Row};
use crate::output::{data, harmless};
use crate::repository::Repository;
use crate::run::RunError;

/// The best candidates of a run, best first.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    run: RunArguments,
    /// How many.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    count: usize,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Top {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let mut run = self.run.glance()?;
        let top = run.top(self.count)?;
        let rows: Vec<Row> = top.iter().map(|(candidate, known)| Row::of(*candidate, known)).collect();
        match self.format {
            Format::Json => print_json(&rows)?,
            Format::Table => {
                data(inspect::rows_table(&rows, &run.start().started().cases, run.best()) + "\n")?;
            }
        }
        Ok(Exit::Success)
    }
}

/// What happened in a run, a line an event.
#[derive(Debug, Args)]
pub struct Log {
    #[command(flatten)]
    run: RunArguments,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

impl Log {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let run = self.run.open()?;
        match self.format {
            Format::Json => print_json(&run.entries.iter().map(LogEntry::of).collect::<Vec<_>>())?,
            Format::Table => {
                let began = run.entries.first().map_or(0.0, |entry| entry.time);
                for entry in &run.entries {
                    let text = inspect::event_text(&entry.event, &run.search);
                    data(format_args!("{:>5}  {:>9.2}s  {text}\n", entry.seq, entry.time - began))?;
                }
            }
        }
        Ok(Exit::Success)
    }
}

#[derive(Serialize)]
struct LogEntry<'a> {
    seq: u64,
    time: f64,
    event: &'a Event,
}

impl<'a> LogEntry<'a> {
    fn of(entry: &'a crate::journal::Entry<Event>) -> Self {
        Self { seq: entry.seq, time: entry.time, event: &entry.event }
    }
}

/// One candidate: where it comes from, its proposal, and its measurements or why it was rejected.
#[derive(Debug, Args)]
pub struct Show {
    /// Number, NAME, commit prefix or `best`; and the run, if not the newest, before or behind it.
    #[arg(required = true, num_args = 1..=2, value_names = ["CANDIDATE", "RUN"])]
    names: Vec<String>,
    /// Print the program instead.
    #[arg(long)]
    program: bool,
    /// Settings, for where the runs are.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    selection: Option<Selection>,
    proposal: Option<String>,
    evaluation: Option<Evaluation>,
}

impl Show {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (mut run, candidate) = self.find()?;
        let Seen { known, selection, evaluation } = run.seen(candidate)?;
        let repository = Repository::open(&run.folder.archive())?;
        if self.program {
            data(repository.program(known.commit, &run.start().started().file_name)?)?;
            return Ok(Exit::Success);
        }
        let proposal = repository.proposal(known.commit)?;
        let shown = Shown {
            row: Row::of(candidate, &known),
            selection,
            proposal: proposal.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            evaluation,
        };
        match self.format {
            Format::Json => print_json(&shown)?,
            Format::Table => data(text(&mut run, &shown)?)?,
        }
        Ok(Exit::Success)
    }

    /// The run and the candidate, in whichever order they were given.
    fn find(&self) -> anyhow::Result<(Glance, CandidateId)> {
        let open = |name: Option<&String>| RunArguments { run: name.cloned(), config: self.config.clone() }.glance();
        let (mut run, wanted) = match &self.names[..] {
            [candidate] => (open(None)?, candidate),
            [candidate, run] => {
                let is_run = |name: &str| super::find_run(self.config.as_deref(), Some(name)).is_ok();
                // If neither is a run, what stands where a run belongs is said not to be one.
                let turned = !is_run(run) && is_run(candidate);
                let (run, candidate) = if turned { (candidate, run) } else { (run, candidate) };
                (open(Some(run))?, candidate)
            }
            _ => unreachable!("BUG: clap takes one or two"),
        };
        let candidate = run.candidate(wanted)?;
        Ok((run, candidate))
    }
}

fn text(run: &mut Glance, shown: &Shown) -> anyhow::Result<String> {
    let Row { candidate, name, parents, commit, outcome, .. } = &shown.row;
    let mut parent = |id: &CandidateId| Ok(format!("{id} ({})", run.seen(*id)?.known.name));
    let parents = parents.iter().map(&mut parent).collect::<Result<Vec<_>, RunError>>()?.join(", ");
    let origin = shown
        .selection
        .as_ref()
        .map_or(String::new(), |selection| format!("an edit of {parents}, proposed by {}\n", selection.proposer));
    let proposal = shown.proposal.as_ref().map_or(String::new(), |text| format!("\n{}\n", harmless(text.trim_end())));
    let verdict = verdict(run, shown);
    Ok(format!("candidate {candidate}: {name}\n{origin}commit {commit}\n{outcome}\n{verdict}{proposal}"))
}

/// What the judge found.
fn verdict(run: &Glance, shown: &Shown) -> String {
    match (&shown.evaluation, &shown.row.scores) {
        (Some(Evaluation::Measured { measurement }), Some(scores)) => {
            let cases = &run.start().started().cases;
            let text = inspect::scores_text(scores, measurement, cases, "the baseline program of the run");
            let rebalance = figures::rebalance(&[(&shown.row.name, &scores.rebalance)]);
            format!("\n{text}{}{rebalance}", if rebalance.is_empty() { "" } else { "\n" })
        }
        (Some(Evaluation::Rejected { rejection, evidence }), _) => {
            format!("\nit {}\n{}", harmless(&rejection.to_string()), inspect::evidence_text(evidence))
        }
        (Some(Evaluation::Outclassed { at_best, .. }), _) => {
            format!("stopped early: {at_best:.4} was to be expected at best\n")
        }
        _ => String::new(),
    }
}
