//! `packevolve diff`: two candidates side by side.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::archive::{Repository, RepositoryError};
use crate::cli::exit::Exit;
use crate::cli::format::{Format, print_json};
use crate::cli::named::Names;
use crate::edit::diff;
use crate::run::lookup::Glance;
use crate::values::candidate::CandidateId;
use crate::view::inspect::{Compared, FORMAT, Row, compared_table};
use crate::view::output::{harmless, print};
use crate::view::terminal::{Terminal, Tone};

/// The scores of two candidates side by side, then the diff of their programs, which `git apply` and `patch` take as it
/// is. Ends with 0, equal or not.
#[derive(Debug, Args)]
pub struct Diff {
    /// Number, NAME, commit prefix, `best` or `seed`.
    a: String,
    /// Another.
    b: String,
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
    compared: Compared,
    diff: String,
}

impl Diff {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let (mut run, candidates) =
            Names::of(&[Some(&self.a), Some(&self.b), self.run.as_ref()], 2, self.config.as_deref()).glance()?;
        let mut row = |id: CandidateId| run.seen(id).map(|seen| Row::of(id, &seen.known));
        let compared = Compared::new(row(candidates[0])?, row(candidates[1])?);
        let diff = diff(&run, &compared)?;
        let terminal = Terminal::of_stdout();
        match self.format {
            Format::Json => print_json(&Document { format: FORMAT, compared, diff })?,
            Format::Table => {
                print(format_args!("{}\n{}", compared_table(&compared, &terminal), shown(&diff, &terminal)))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn diff(run: &Glance, compared: &Compared) -> Result<String, RepositoryError> {
    let repository = Repository::open(&run.folder.archive())?;
    let file_name = &run.start().origin().file_name;
    let program = |row: &Row| repository.program(row.commit, file_name);
    Ok(diff::unified(file_name, &program(&compared.a)?, &program(&compared.b)?))
}

/// To the byte, but on a terminal, where it is coloured and steers nothing.
fn shown(diff: &str, terminal: &Terminal) -> String {
    if !terminal.is_terminal {
        return diff.to_owned();
    }
    let tone = |line: &str| match line.as_bytes().first() {
        _ if line.starts_with("---") || line.starts_with("+++") => Some(Tone::Heading),
        Some(b'@') => Some(Tone::Place),
        Some(b'+') => Some(Tone::Good),
        Some(b'-') => Some(Tone::Bad),
        _ => None,
    };
    let paint = |line: &str| tone(line).map_or(line.to_owned(), |tone| terminal.paint(tone, line)) + "\n";
    harmless(diff).lines().map(paint).collect()
}
