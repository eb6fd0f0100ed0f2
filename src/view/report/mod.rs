//! Report: a whole run on one page. It only reads, and also works on a run that is under way, was interrupted or has not
//! measured anything yet. Each file makes one section from [`data`], of the parts in [`page`].

pub(crate) mod page;
mod thin;
mod changes;
pub(crate) mod data;
pub(crate) mod machine;
mod gained;
pub(crate) mod edits;
mod front;
mod beside;
mod progress;
mod heat;
mod family;
mod proposers;
mod timing;

use crate::archive::ProgramsError;
use crate::journal::Entry;
use crate::run::fold::Run;
use crate::values::event::Event;
use crate::view::beside::Beside;
use crate::view::report::data::ReportData;
use crate::view::report::page::{Page, Section};

/// The page of a run with these journal entries, and with programs that were measured beside its best: one HTML file that
/// needs nothing beside itself.
///
/// # Errors
/// A program or proposal on the line to the best cannot be read from the archive.
pub fn html(run: &Run, entries: &[Entry<Event>], beside: &[Beside]) -> Result<String, ProgramsError> {
    let data = ReportData { beside, ..ReportData::of(run, entries) };
    let page = Page {
        title: format!("PackEvolve: {}", machine::name(run)),
        state: machine::state(&data),
        sections: sections(&data)?,
        made_by: format!("packevolve {} report", env!("CARGO_PKG_VERSION")),
    };
    Ok(page.html())
}

/// The sections of a run that have something to show.
///
/// # Errors
/// See [`html`].
pub(crate) fn sections(data: &ReportData<'_>) -> Result<Vec<Section>, ProgramsError> {
    let mut sections = vec![
        gained::section(data),
        edits::section(data)?,
        front::section(data),
        beside::section(data),
        progress::section(data),
        heat::section(data),
        family::section(data),
        proposers::section(data),
        timing::section(data),
        machine::section(data),
    ];
    sections.retain(|section| !section.parts.is_empty());
    Ok(sections)
}
