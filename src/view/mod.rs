//! Views: what a person or a script sees of a run. They only read.

pub mod output;
pub mod terminal;
pub mod table;
pub mod plot;
pub(crate) mod format;
pub(crate) mod policy;
pub mod gain;
pub mod beside;
pub(crate) mod export;
pub mod inspect;
pub mod plans;
pub(crate) mod progress;
pub mod report;
pub mod site;
pub mod worth;
