//! `packevolve lineage`.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::format::Format;
use crate::edit::blame::{Lines, blame};
use crate::run::fold::Run;
use crate::values::candidate::CandidateId;
use crate::view::inspect::{self, FORMAT};
use crate::view::output::status;

/// Show the edits that lead to a candidate
///
/// Lists one edit a line, from the seed program on, with the scores and the gain over the program that it edits.
#[derive(Debug, Args)]
pub struct Lineage {
    /// Number, NAME, commit prefix, `best` or `seed`
    #[arg(default_value = "best")]
    candidate: String,
    #[command(flatten)]
    run: RunArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve lineage --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct LineageJson {
    format: u32,
    #[serde(flatten)]
    lineage: inspect::Lineage,
}

impl Lineage {
    pub fn run(&self) -> Result<(), CommandError> {
        let run = self.run.open()?;
        let line = run.search.line_to(run.candidate(&self.candidate)?);
        let lines = lines(&run, &line);
        let lineage = inspect::Lineage::of(&run.search, &line, &lines);
        let json = LineageJson { format: FORMAT, lineage };
        let path = run.folder.path().display().to_string();
        Ok(self.format.print(&json, |terminal| json.lineage.text(&run.search.origin().cases, &path, terminal))?)
    }
}

/// The lines that each program wrote and those that are left; empty if a program cannot be derived.
fn lines(run: &Run, line: &[CandidateId]) -> Vec<Lines> {
    match run.programs_of(line) {
        Ok(programs) => blame(&programs),
        Err(error) => {
            status(format_args!("note: cannot count lines: {error}"));
            Vec::new()
        }
    }
}
