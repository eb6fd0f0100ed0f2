//! The judge: runs candidate packing programs in processes of their own, verifies what they return, scores it and
//! times it. Only this crate measures; of a candidate nothing is believed but the placements that it returns.
//!
//! ```text
//! harness --- JSON lines ---> packevolve-judge --- channel, shared memory ---> child (one a case)
//!                                    \--- control channel ---> nursery (Python with torch) --- fork ---^
//! ```
//!
//! A file imports only from the files above it:
//!
//! * numbers, no processes: [`window`], [`trace`], [`made_up`], [`workload`], [`schedule`], [`rows`], [`bound`],
//!   [`placement`], [`plan`], [`tensor`] (the only file that names tch), [`score`]
//! * processes, no numbers: [`timing`], [`process`], [`channel`], [`shared`], [`sandbox`],
//!   [`nursery`] (with `jail.py` and `nursery.py`), [`child`],
//!   [`reference`](mod@reference) (with `reference.py`, the yardstick)
//! * both together: [`slot`], [`judge`]
//! * for tests: `real_loads`, `fuzz`

pub mod window;
pub mod trace;
pub mod made_up;
pub mod workload;
pub mod schedule;
pub mod rows;
pub mod bound;
pub mod placement;
pub mod plan;
pub mod tensor;
pub mod score;
pub mod timing;
pub mod process;
pub mod channel;
pub mod shared;
pub mod sandbox;
pub mod nursery;
pub mod child;
pub mod reference;
pub mod slot;
pub mod judge;

#[cfg(test)]
mod real_loads;

#[cfg(test)]
mod fuzz;
