//! `packevolve apply`.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::archive::programs::derive;
use crate::cli::error::{CliError, CommandError};
use crate::cli::exit::Exit;
use crate::cli::input::read_text;
use crate::cli::write::write;
use crate::values::event::Declined;
use crate::view::output::{error, print, status};

/// Apply a proposal to a program
#[derive(Debug, Args)]
pub struct Apply {
    program: PathBuf,
    /// File with NAME, DESCRIPTION and DIFF
    proposal: PathBuf,
    /// Output file, which may be PROGRAM [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Apply {
    pub fn run(&self) -> Result<Exit, CommandError> {
        let program = read_text(&self.program)?;
        let proposal =
            fs::read(&self.proposal).map_err(|source| CliError::Read { path: self.proposal.clone(), source })?;
        match derive(&program, &proposal) {
            Ok((proposal, child)) => {
                match &self.output {
                    Some(path) => write(path, &child)?,
                    None => print(&child)?,
                }
                let count = proposal.edit.blocks().len();
                let blocks = if count == 1 { "block" } else { "blocks" };
                status(format_args!("applied {}: {count} {blocks}", proposal.name));
                Ok(Exit::Success)
            }
            Err(reason) => {
                let path = self.proposal.display();
                match &reason {
                    Declined::DoesNotApply { mismatch } => {
                        error(format_args!("error: {path}: does not apply\n{}", mismatch.evidence().trim_end()));
                    }
                    other => error(format_args!("error: {path}: {other}")),
                }
                Ok(Exit::Rejected)
            }
        }
    }
}
