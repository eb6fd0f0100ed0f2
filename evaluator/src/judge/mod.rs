//! Judge: an evaluation from the request to the reply.

mod session;
mod progress;
mod verify;
mod warm_up;
mod sample;
mod rebalance;
mod baseline;
mod evaluate;
mod duel;

pub use session::Judge;
