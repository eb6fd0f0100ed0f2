//! `packevolve apply`: one edit, by hand.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{BadInput, read_text};
use crate::derive::derive;
use crate::event::Declined;
use crate::exit::Exit;

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
        let proposal = std::fs::read(&self.proposal)
            .map_err(|error| BadInput(format!("cannot read {}: {error}", self.proposal.display())))?;
        match derive(&program, &proposal) {
            Ok(derived) => {
                match &self.output {
                    Some(path) => write(path, &derived.program)?,
                    None => print!("{}", derived.program),
                }
                eprintln!("applied {}: {} blocks", derived.proposal.name, derived.proposal.edit.blocks().len());
                Ok(Exit::Success)
            }
            Err(reason) => {
                eprintln!("error: {}: {reason}", self.proposal.display());
                if let Declined::DoesNotApply { mismatch } = &reason {
                    eprint!("{}", mismatch.evidence());
                }
                Ok(Exit::Rejected)
            }
        }
    }
}

/// Writes whole or not at all.
fn write(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let partial = path.with_extension("packevolve-partial");
    let context = || format!("cannot write {}", path.display());
    std::fs::write(&partial, text).with_context(context)?;
    std::fs::rename(&partial, path).with_context(context)
}
