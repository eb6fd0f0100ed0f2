//! Judge: an evaluation from the request to the reply.

mod evaluate;
mod rebalance;
mod repeat;

pub use evaluate::{Judge, JudgeError};
