//! Judges: processes that measure programs, each behind a stream, and the pool of them.
//!
#![doc = include_str!("../cli/help/measuring.md")]

pub mod client;
pub mod pool;
