//! Replay: makes a candidate, or a whole run, again from its record, and says where the two part.

mod decisions;
mod measured;

pub use decisions::*;
pub use measured::{Calls, Elsewhere, Moved, Remeasured, Speed, measure};
