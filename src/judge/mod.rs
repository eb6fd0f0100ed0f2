//! Judges are processes that measure programs; this is the harness's side of them.
#![doc = include_str!("../cli/help/measuring.md")]

pub mod client;
pub(crate) mod pool;
