//! Site: the pages that a server shows of runs, live ones too: a list of runs and their comparison, a run, a candidate. The
//! parts are those of the report. Nothing here knows of requests.

mod address;
mod frame;
mod shown;
mod compared;
mod runs;
mod now;
mod run;
mod candidate;

pub use candidate::candidate;
pub use run::{all_candidates, run};
pub use runs::{Listed, index};
pub use shown::Shown;

use crate::view::report::page;

/// The script of all pages.
pub const SCRIPT: &str = include_str!("page.js");
/// Their icon.
pub const ICON: &str = include_str!("icon.svg");

/// The style sheet of all pages.
pub fn style() -> String {
    page::style()
}
