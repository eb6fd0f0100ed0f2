//! Clock: times as people read them.
//!
//! A machine is now fast and now slow. The judge times the reference program beside each call, so a time in units of the
//! reference does not depend on that, and neither does a speedup, a ratio of two such times. A time in seconds does: of
//! two programs the one with the longer time may be the faster one. Every time that a person reads is therefore
//! normalised: its relative time, multiplied by one constant for the whole run. Ratios of normalised times are speedups.

use crate::statistic::Quartiles;

/// Turns relative times into seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Time of the reference program where the run began, seconds.
    pub reference_seconds: f64,
}

impl Clock {
    /// Leaves relative times as they are.
    pub const RELATIVE: Self = Self { reference_seconds: 1.0 };

    /// The normalised time, seconds, of what took `relative_time` times as long as the reference program beside it.
    pub fn normalised(self, relative_time: f64) -> f64 {
        relative_time * self.reference_seconds
    }

    /// The same of quartiles.
    pub fn normalised_quartiles(self, Quartiles { lower, upper }: Quartiles) -> Quartiles {
        Quartiles { lower: self.normalised(lower), upper: self.normalised(upper) }
    }
}
