//! `packevolve lineage`: how a candidate came about.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::named::Names;
use super::{Format, print_json};
use crate::exit::Exit;
use crate::inspect::{self, FORMAT};
use crate::output::data;
use crate::terminal::Terminal;

/// From the seed program to a candidate, an edit a line: its scores, and what it brought against the program that it is
/// an edit of.
#[derive(Debug, Args)]
pub struct Lineage {
    /// Number, NAME, commit prefix, `best` or `seed`; the best if not given.
    candidate: Option<String>,
    /// Folder of the run, or its name in the folder of runs; the newest run if not given. It may also stand first.
    run: Option<String>,
    /// Settings, for where the runs are.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The shape is part of the interface.
#[derive(Serialize)]
struct Document {
    format: u32,
    #[serde(flatten)]
    lineage: inspect::Lineage,
}

impl Lineage {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (mut run, candidates) =
            Names::of(&[self.candidate.as_ref(), self.run.as_ref()], 1, self.config.as_deref()).glance()?;
        let lineage = inspect::Lineage::of(&run.line_to(candidates[0])?);
        match self.format {
            Format::Json => print_json(&Document { format: FORMAT, lineage })?,
            Format::Table => {
                let path = run.folder.path().display().to_string();
                data(lineage.text(&run.start().started().cases, &path, &Terminal::of_stdout()))?;
            }
        }
        Ok(Exit::Success)
    }
}
