//! Search: decides what to try next, from nothing but the events so far.
//!
//! It has no IO, clock, thread or global random generator, and it cannot fail. Its state changes only in
//! [`Search::apply`], which a live run, `resume` and `replay` call on the same events. [`Search::next`] and
//! [`Search::tasks`] are pure functions of that state.
//!
#![doc = include_str!("../cli/help/search.md")]

pub(crate) mod population;
pub(crate) mod bandit;
pub mod best;
mod candidate;
pub(crate) mod credit;
pub(crate) mod elites;
pub(crate) mod models;
pub(crate) mod places;
pub(crate) mod pruning;
mod select;
pub(crate) mod island;
mod state;
mod rules;
mod choosing;
mod admitting;
mod confirming;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use candidate::{Candidate, DuelResult, HeldOutResult, Outcome, Ruling};
pub use choosing::Next;
pub use rules::Refusal;
pub use state::{Attempt, Search, Tally};

pub use crate::values::task::Task;
