//! PackEvolve: the harness.

pub mod journal;

pub mod repository;
