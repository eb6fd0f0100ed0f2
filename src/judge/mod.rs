//! Judges are processes that measure programs; this is the harness's side of them.
#![doc = include_str!("../cli/help/measuring.md")]

pub(crate) mod loads;
mod last_words;
pub mod client;
pub(crate) mod baselines;
pub(crate) mod unlike;
pub(crate) mod pool;
