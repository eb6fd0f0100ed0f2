//! Message: what the nursery and its children send to the judge. `nursery.py` documents the protocol.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    // from the nursery
    Ready { pid: i32, python: String, torch: String, numpy: String, numba: Option<String>, numpy_vectors: Vec<String> },
    Forked { pid: i32 },
    Imported {},
    Sealed {},
    Reaped {},
    Failed { reason: String },
    // from either
    Unavailable { step: String, reason: String },
    // from a child
    Jailed {},
    Prepared { threads: u32 },
    Awake { free_bytes: u64 },
    Compiled { code: Option<String> },
    Loaded {},
    Compiles { begins: bool },
    Kept { compiled: u32, seconds: f64 },
    Returned { device_seconds: Option<f64>, columns: Option<usize>, compiled: Option<u32> },
    Absent {},
    WrongResult { message: String },
    Raised { message: String, traceback: String, memory: bool },
}
