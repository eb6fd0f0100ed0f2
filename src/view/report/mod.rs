//! Report: a whole run on one page. It only reads, and also works on a run that is under way, was interrupted or has not
//! measured anything yet.
//!
//! Each file is one section; [`page`] has the parts of sections, [`cast`] the candidates that they name.

mod page;
mod thin;
mod changes;
mod cast;
mod machine;
mod gained;
mod edits;
mod front;
mod progress;
mod heat;
mod family;
mod proposers;
mod timing;

use thiserror::Error;

use crate::archive::ProgramsError;
use crate::journal::JournalError;
use crate::run::fold::Run;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::view::report::cast::NamedCandidates;
use crate::view::report::page::{Page, Section};

/// Why a run cannot be reported.
#[derive(Debug, Error)]
pub enum ReportError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Programs(#[from] ProgramsError),
}

impl Classify for ReportError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Journal(error) => error.kind(),
            Self::Programs(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.hint(),
            Self::Programs(error) => error.hint(),
        }
    }
}

/// The page, one HTML file that needs nothing beside itself.
///
/// # Errors
/// A program or proposal of the winning line that the archive cannot give.
pub fn html(run: &Run) -> Result<String, ReportError> {
    let entries = run.entries()?;
    let cast = NamedCandidates::of(run, &entries);
    let sections = vec![
        gained::section(&cast),
        edits::section(&cast)?,
        front::section(&cast),
        progress::section(&cast),
        heat::section(&cast),
        family::section(&cast),
        proposers::section(&cast),
        timing::section(&cast),
        machine::section(&cast),
    ];
    let page = Page {
        title: format!("PackEvolve: {}", machine::name(run)),
        state: machine::state(&cast),
        sections: sections.into_iter().filter(|section: &Section| !section.blocks.is_empty()).collect(),
        made_by: format!("packevolve {} report", env!("CARGO_PKG_VERSION")),
    };
    Ok(page.html())
}
