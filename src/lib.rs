//! PackEvolve: the harness.

pub mod journal;
