//! The judge: runs candidate programs in processes of their own, verifies their outputs, and scores and times them. Only
//! this crate measures. It trusts nothing that a candidate returns except the placements.
//!
//! ```text
//! harness --- JSON lines ---> packevolve-judge --- channel, shared memory ---> child (one a case)
//!                                    \--- control channel ---> nursery (Python with torch) --- fork ---^
//! ```
//!
//! Programs must answer alike in children of a second nursery, whose processes have other settings; more nurseries tell
//! which setting an answer depends on. Nothing is measured there.
//!
//! A file imports only from the files above it:
//!
//! * numbers, no processes: [`window`], [`trace`], [`made_up`], [`workload`], [`schedule`], [`rows`],
//!   [`placement`], [`plan`], [`tensor`] (the only file that names tch), [`score`]
//! * processes, no numbers: [`timing`], [`process`], [`channel`], [`shared`], [`calls`], [`seccomp`], [`sandbox`],
//!   [`message`], [`nursery`] (with `jail.py` and `nursery.py`), [`error`], [`call`], [`captured`], [`child`],
//!   [`reference`](mod@reference) (with `reference.py`), [`device_lock`]
//! * both together: [`slot`], [`judge`]
//! * for tests: `real_loads`, `fuzz`

mod window;
mod trace;
mod made_up;
mod workload;
mod schedule;
mod rows;
mod placement;
mod plan;
mod tensor;
mod score;
mod timing;
pub mod process;
mod channel;
mod shared;
pub mod calls;
mod seccomp;
pub mod sandbox;
mod message;
pub mod nursery;
pub mod error;
pub mod call;
mod captured;
pub mod child;
mod reference;
mod device_lock;
mod slot;
pub mod judge;

#[cfg(test)]
mod real_loads;

#[cfg(test)]
mod fuzz;
