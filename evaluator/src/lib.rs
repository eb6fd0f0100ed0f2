//! PackEvolve: the judge.
//!
//! The numbers: [`window`] (loads as they are read), [`made_up`] (loads that nobody measured), [`workload`] (the
//! windows of a run), [`rows`] (the weights of a call), [`placement`] (is an answer valid, what do its packs carry),
//! [`bound`] (what no answer can beat), [`tensor`] (the same by torch, the only door to tch), [`score`] (what is
//! reported). Each imports only from those before it, and none of them runs, times or believes a candidate.

pub mod window;

pub mod made_up;

pub mod workload;

pub mod rows;

pub mod placement;

pub mod bound;

pub mod tensor;

pub mod score;

#[cfg(test)]
mod real_loads;
