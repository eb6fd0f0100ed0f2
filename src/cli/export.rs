//! `packevolve export`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::RunArgs;
use crate::cli::error::{CliError, CommandError};
use crate::cli::write::{check_consistency, write};
use crate::view::export;
use crate::view::output::{print, status};

/// Write a candidate as a program of its own
///
/// The result is a drop-in replacement for DeepSeek's `eplb.py`. Its header states the run, the commit, the scores and the
/// command that reproduces it.
#[derive(Debug, Args)]
pub struct Export {
    /// Number, NAME, commit prefix, `best` or `seed`.
    #[arg(default_value = "best")]
    candidate: String,
    #[command(flatten)]
    run: RunArgs,
    /// Output file; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace an existing file, and write an inconsistent program all the same
    #[arg(long)]
    force: bool,
}

impl Export {
    pub fn run(&self) -> Result<(), CommandError> {
        let run = self.run.open()?;
        let candidate = run.candidate(&self.candidate)?;
        if !self.force {
            check_consistency(&run, candidate)?;
        }
        let text = export::standalone(&run, candidate)?;
        match &*self.output {
            stdout if stdout == Path::new("-") => print(text)?,
            path => self.put(path, &text)?,
        }
        Ok(())
    }

    fn put(&self, path: &Path, text: &str) -> Result<(), CliError> {
        if path.exists() && !self.force {
            return Err(CliError::Exists(path.to_owned()));
        }
        write(path, text)?;
        status(format_args!("wrote {}", path.display()));
        Ok(())
    }
}
