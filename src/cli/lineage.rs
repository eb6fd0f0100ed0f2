//! `packevolve lineage`: how a candidate came about.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::archive::{Repository, RepositoryError};
use crate::cli::exit::Exit;
use crate::cli::format::{Format, print_json};
use crate::cli::named::Names;
use crate::edit::blame::{Lines, blame};
use crate::run::lookup::Glance;
use crate::search::Candidate;
use crate::values::candidate::CandidateId;
use crate::view::inspect::{self, FORMAT};
use crate::view::output::{print, status};
use crate::view::terminal::Terminal;

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
        let line = run.line_to(candidates[0])?;
        let lineage = inspect::Lineage::of(&line, &lines(&run, &line));
        match self.format {
            Format::Json => print_json(&Document { format: FORMAT, lineage })?,
            Format::Table => {
                let path = run.folder.path().display().to_string();
                print(lineage.text(&run.start().origin().cases, &path, &Terminal::of_stdout()))?;
            }
        }
        Ok(Exit::Success)
    }
}

/// What each of the programs wrote, and what is left of it. A lineage is told without an archive, too.
fn lines(run: &Glance, line: &[(CandidateId, Candidate)]) -> Vec<Lines> {
    let programs = || -> Result<Vec<String>, RepositoryError> {
        let repository = Repository::open(&run.folder.archive())?;
        let file_name = &run.start().origin().file_name;
        line.iter().map(|(_, known)| repository.program(known.commit, file_name)).collect()
    };
    match programs() {
        Ok(programs) => blame(&programs),
        Err(error) => {
            status(format_args!("note: lines are not counted: {error}"));
            Vec::new()
        }
    }
}
