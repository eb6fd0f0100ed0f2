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
//! * numbers, no processes: [`window`], [`delivery`], [`made_up`], [`workload`], [`chains`], [`schedule`], [`rows`],
//!   [`placement`], [`tensor`] (the only file that names tch), [`score`], [`planner`]
//! * processes, no numbers: [`timing`], [`process`], [`interpreter`], [`channel`], [`shared`], [`kernels`], [`numbers`], [`calls`], [`seccomp`],
//!   [`message`], [`waited`], [`gpu`] (with `gpus.py`), [`sandbox`], [`nursery`] (with `jail.py`, `kernels.py` and `nursery.py`),
//!   [`error`], [`call`], [`captured`], [`child`], [`reference`](mod@reference) (with `reference.py`), [`device_lock`]
//! * both together: [`slot`], [`judge`]
//! * for tests: `real_loads`, `fuzz`

mod window;
pub mod delivery;
mod made_up;
mod workload;
mod chains;
mod schedule;
mod rows;
mod placement;
mod tensor;
mod score;
mod planner;
mod timing;
pub mod process;
mod interpreter;
mod channel;
mod shared;
pub mod kernels;
pub mod numbers;
pub mod calls;
mod seccomp;
mod message;
mod waited;
pub mod gpu;
pub mod sandbox;
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
