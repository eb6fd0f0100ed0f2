//! Search: decides what to try next, from nothing but the events so far.
//!
#![doc = include_str!("../cli/help/search.md")]

pub mod population;
pub mod bandit;
pub mod best;
pub mod credit;
pub mod elites;
pub mod models;
pub mod pruning;
mod select;
pub mod island;
mod state;
#[cfg(test)]
pub(crate) mod world;

pub use state::*;
