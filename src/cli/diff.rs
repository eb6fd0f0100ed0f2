//! `packevolve diff`.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::ProgramsError;
use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::format::Format;
use crate::edit::diff;
use crate::run::fold::Run;
use crate::run::folder::RunError;
use crate::view::inspect::{Compared, FORMAT, Row, compared_table};
use crate::view::output::harmless;
use crate::view::terminal::{Terminal, Tone};

/// Compare two candidates: their scores and a diff of their programs
///
/// `git apply` and `patch` accept the output. The exit code is 0 whether the programs differ or not.
#[derive(Debug, Args)]
pub struct Diff {
    /// Number, NAME, commit prefix, `best` or `seed`
    a: String,
    /// The other candidate
    b: String,
    #[command(flatten)]
    run: RunArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// The output of `packevolve diff --format json`. Its shape is part of the interface.
#[derive(Serialize, JsonSchema)]
pub struct DiffJson {
    format: u32,
    #[serde(flatten)]
    compared: Compared,
    diff: String,
}

impl Diff {
    pub fn run(&self) -> Result<(), CommandError> {
        let run = self.run.open()?;
        let row = |wanted: &str| Ok::<_, RunError>(Row::of(&run.search, run.candidate(wanted)?));
        let compared = Compared::new(row(&self.a)?, row(&self.b)?);
        let json = DiffJson { format: FORMAT, diff: diff(&run, &compared)?, compared };
        let table = |terminal: &_| compared_table(&json.compared, terminal) + "\n" + &shown(&json.diff, terminal);
        Ok(self.format.print(&json, table)?)
    }
}

fn diff(run: &Run, compared: &Compared) -> Result<String, ProgramsError> {
    let file_name = &run.search.origin().file_name;
    let program = |row: &Row| run.programs.program(row.candidate);
    Ok(diff::unified(file_name, &program(&compared.a)?, &program(&compared.b)?))
}

/// Byte by byte for a pipe; for a terminal, coloured and with control characters escaped.
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
