//! Frame: what every page has around its sections.

use crate::view::report::page::{Page, Section, Site};

/// A page of the sections that have something to show.
pub fn html(title: String, state: String, sections: Vec<Section>, site: &Site) -> String {
    let made_by = format!("packevolve {} serve", env!("CARGO_PKG_VERSION"));
    let sections = sections.into_iter().filter(|section| !section.parts.is_empty()).collect();
    Page { title, state, sections, made_by }.html_on(site)
}
