//! PackEvolve: the harness.

mod line;

pub mod region;
