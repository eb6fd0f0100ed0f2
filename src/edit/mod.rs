//! Edits: SEARCH/REPLACE blocks, the one place that each of them matches, and the program that they make.
//!
#![doc = include_str!("../cli/help/proposals.md")]

pub(crate) mod line;
pub mod region;
pub mod nearest;
pub mod mismatch;
mod site;
pub mod block;
pub mod apply;
pub(crate) mod rewrite;
pub mod diff;
pub mod blame;
pub(crate) mod merge;
pub mod proposal;
