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

use crate::archive::{Repository, RepositoryError};
use crate::run::fold::Run;
use crate::view::report::cast::NamedCandidates;
use crate::view::report::page::{Page, Section};

/// The page, one HTML file that needs nothing beside itself.
///
/// # Errors
/// A program or proposal of the winning line that the archive cannot give.
pub fn html(run: &Run, repository: &Repository) -> Result<String, RepositoryError> {
    let cast = NamedCandidates::of(run);
    let sections = vec![
        gained::section(&cast),
        edits::section(&cast, repository)?,
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
        state: machine::state(run),
        sections: sections.into_iter().filter(|section: &Section| !section.blocks.is_empty()).collect(),
        made_by: format!("packevolve {} report", env!("CARGO_PKG_VERSION")),
    };
    Ok(page.html())
}
