//! `packevolve report`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::RunArgs;
use crate::cli::error::{CliError, CommandError};
use crate::cli::input::read_text;
use crate::cli::write::write;
use crate::run::fold::Run;
use crate::view::beside::{Beside, Chains};
use crate::view::output::{print, status};
use crate::view::report;

/// Write a run as one self-contained HTML page
#[derive(Debug, Args)]
pub struct Report {
    #[command(flatten)]
    run: RunArgs,
    /// Output file; `-` is stdout
    #[arg(short, long, default_value = "report.html", value_name = "FILE")]
    output: PathBuf,
    /// Of a run whose target is policy: show what `packevolve compare --format json` printed for it
    #[arg(long, value_name = "FILE", num_args = 1..)]
    beside: Vec<PathBuf>,
}

impl Report {
    pub fn run(&self) -> Result<(), CommandError> {
        let run = self.run.open()?;
        let beside = self.beside(&run)?;
        let page = report::html(&run, &run.entries()?, &beside)?;
        if self.output == Path::new("-") {
            return Ok(print(page)?);
        }
        write(&self.output, &page)?;
        status(format_args!("the report is in {}", self.output.display()));
        Ok(())
    }

    /// What was measured beside the best. Figures on other chains, at other prices or beside another best would mislead.
    fn beside(&self, run: &Run) -> Result<Vec<Beside>, CommandError> {
        let best = run.search.best().and_then(|best| run.search.candidate(best.candidate)).map(|known| known.program);
        let mut all: Vec<Beside> = Vec::new();
        for path in &self.beside {
            let path = path.clone();
            let one: Beside = match serde_json::from_str(&read_text(&path)?) {
                Ok(one) => one,
                Err(source) => return Err(CliError::NotBeside { path, source }.into()),
            };
            let count = all.first().unwrap_or(&one).chains.count;
            let own = Chains::of(&run.search, count).ok_or(CliError::NotPolicy)?;
            if let Some(unlike) = one.unlike(&own, best) {
                return Err(CliError::Unlike { path, unlike }.into());
            }
            all.push(one);
        }
        Ok(all)
    }
}
