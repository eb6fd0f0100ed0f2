//! `packevolve apply`: one edit, by hand.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::Exit;
use crate::cli::input::{BadInput, read_text};
use crate::cli::write::write;
use crate::run::derive::derive;
use crate::values::event::Declined;
use crate::view::output::{print, status};

/// Applies the edit of one proposal to a program; the result goes to stdout or to `-o`.
#[derive(Debug, Args)]
pub struct Apply {
    /// The program.
    program: PathBuf,
    /// A document with NAME, DESCRIPTION and DIFF.
    proposal: PathBuf,
    /// Where the result goes; it may be PROGRAM itself.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Apply {
    pub fn run(&self) -> anyhow::Result<Exit> {
        let program = read_text(&self.program)?;
        let proposal = fs::read(&self.proposal)
            .map_err(|error| BadInput(format!("cannot read {}: {error}", self.proposal.display())))?;
        match derive(&program, &proposal) {
            Ok(derived) => {
                match &self.output {
                    Some(path) => write(path, &derived.program)
                        .map_err(|error| BadInput(format!("cannot write {}: {error}", path.display())))?,
                    None => print(&derived.program)?,
                }
                let count = derived.proposal.edit.blocks().len();
                let blocks = if count == 1 { "block" } else { "blocks" };
                status(format_args!("applied {}: {count} {blocks}", derived.proposal.name));
                Ok(Exit::Success)
            }
            Err(reason) => {
                let path = self.proposal.display();
                match &reason {
                    Declined::DoesNotApply { mismatch } => {
                        status(format_args!("error: {path}: does not apply\n{}", mismatch.evidence().trim_end()));
                    }
                    other => status(format_args!("error: {path}: {other}")),
                }
                Ok(Exit::Rejected)
            }
        }
    }
}
