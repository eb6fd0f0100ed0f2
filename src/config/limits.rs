//! `limits`: what a program may use.

use std::time::Duration;

use bytesize::ByteSize;
use packevolve_contract::protocol::Limits;
use serde::{Deserialize, Serialize};

use crate::config::wrong::{Wrong, demand, time};

/// Larger than any machine, and small enough for the system's limits.
const LARGEST: ByteSize = ByteSize::pib(1);
/// No program runs in less.
const LEAST_MEMORY: ByteSize = ByteSize::mib(1);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    #[serde(with = "humantime_serde")]
    pub call_timeout: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub evaluation_timeout: Option<Duration>,
    #[serde(with = "humantime_serde")]
    pub load_timeout: Duration,
    #[serde(with = "humantime_serde")]
    pub compile_timeout: Duration,
    pub memory: ByteSize,
    pub max_output: ByteSize,
    pub threads: u32,
    pub scratch_size: ByteSize,
    pub scratch_files: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            call_timeout: None,
            evaluation_timeout: None,
            load_timeout: Duration::from_secs(30),
            compile_timeout: Duration::from_secs(120),
            memory: ByteSize::gib(4),
            max_output: ByteSize::mib(16),
            threads: 64,
            scratch_size: ByteSize::mib(64),
            scratch_files: 1000,
        }
    }
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let times = [
            ("limits.call_timeout", self.call_timeout),
            ("limits.evaluation_timeout", self.evaluation_timeout),
            ("limits.load_timeout", Some(self.load_timeout)),
            ("limits.compile_timeout", Some(self.compile_timeout)),
        ];
        for (key, value) in times {
            value.map_or(Ok(()), |value| time(key, value, Duration::ZERO))?;
        }
        let Self { memory, max_output, scratch_size, .. } = *self;
        for (key, size) in
            [("limits.memory", memory), ("limits.max_output", max_output), ("limits.scratch_size", scratch_size)]
        {
            demand(size <= LARGEST, key, size, "at most 1 PiB")?;
        }
        demand(memory >= LEAST_MEMORY, "limits.memory", memory, "at least 1 MiB; a number without a unit counts bytes")
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            call_seconds: self.call_timeout.map(|time| time.as_secs_f64()),
            evaluation_seconds: self.evaluation_timeout.map(|time| time.as_secs_f64()),
            load_seconds: self.load_timeout.as_secs_f64(),
            compile_seconds: self.compile_timeout.as_secs_f64(),
            memory_bytes: self.memory.as_u64(),
            output_bytes: self.max_output.as_u64(),
            threads: self.threads,
            scratch_bytes: self.scratch_size.as_u64(),
            scratch_files: self.scratch_files,
        }
    }
}
