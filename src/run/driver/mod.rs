//! Driver: carries out what the search decides.

mod state;
mod models;

pub use state::*;
