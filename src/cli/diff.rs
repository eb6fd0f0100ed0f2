//! `packevolve diff`.

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use crate::archive::{Repository, RepositoryError};
use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::format::{Format, print_json};
use crate::edit::diff;
use crate::run::lookup::Glance;
use crate::values::candidate::CandidateId;
use crate::view::inspect::{Compared, FORMAT, Row, compared_table};
use crate::view::output::{harmless, print};
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
    pub fn run(&self) -> Result<Exit, CommandError> {
        let mut run = self.run.glance()?;
        let (a, b) = (run.candidate(&self.a)?, run.candidate(&self.b)?);
        let mut row = |id: CandidateId| run.seen(id).map(|seen| Row::of(id, &seen.known));
        let compared = Compared::new(row(a)?, row(b)?);
        let diff = diff(&run, &compared)?;
        let terminal = Terminal::of_stdout();
        match self.format {
            Format::Json => print_json(&DiffJson { format: FORMAT, compared, diff })?,
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
