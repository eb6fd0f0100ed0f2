//! `packevolve report`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::write::write;
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
}

impl Report {
    pub fn run(&self) -> Result<(), CommandError> {
        let run = self.run.open()?;
        let page = report::html(&run, &run.entries()?)?;
        if self.output == Path::new("-") {
            return Ok(print(page)?);
        }
        write(&self.output, &page)?;
        status(format_args!("the report is in {}", self.output.display()));
        Ok(())
    }
}
