//! PackEvolve: the harness.

mod line;

pub mod region;

pub mod nearest;

pub mod mismatch;

mod site;

mod block;

pub mod edit;

mod rewrite;

pub mod proposal;

pub mod proposer;
