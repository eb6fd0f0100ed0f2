//! Clock: normalises the times that people read.
//!
//! The speed of a machine varies. The judge times the reference program right after each call, so a time relative to
//! the reference does not depend on the machine's speed, and neither does a speedup, which is the ratio of two such
//! times. A time in seconds does: the faster of two programs may have the longer time. Times are therefore shown as
//! relative times multiplied by one constant for the whole run, and ratios of shown times are speedups.

use crate::statistic::Quartiles;

/// Turns relative times into seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Time of the reference program at the start of the run, seconds.
    pub reference_seconds: f64,
}

impl Clock {
    /// Leaves relative times as they are.
    pub const RELATIVE: Self = Self { reference_seconds: 1.0 };

    /// The normalised time, seconds, of a time relative to the reference program.
    pub fn normalised(self, relative_time: f64) -> f64 {
        relative_time * self.reference_seconds
    }

    pub fn normalised_quartiles(self, Quartiles { lower, upper }: Quartiles) -> Quartiles {
        Quartiles { lower: self.normalised(lower), upper: self.normalised(upper) }
    }
}
