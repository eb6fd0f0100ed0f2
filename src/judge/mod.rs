//! Judges: processes that measure programs, each behind a stream, and the pool of them.

pub mod client;
pub mod pool;
