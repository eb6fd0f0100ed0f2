//! Slot: the CPU or GPU on which calls are timed. A call of a candidate and the call of the reference program right after
//! it form a pair. While one of the two programs runs, the other is stopped.

use packevolve_contract::protocol::Limits;
use packevolve_contract::statistic::median;

use crate::call::Returned;
use crate::child::Child;
use crate::device_lock::DeviceLock;
use crate::error::{Halt, JudgeError};
use crate::nursery::Nursery;
use crate::reference::Reference;
use crate::shared::Outputs;

/// How far a reference time may be from the calibration, relative to it.
const TOLERANCE: f64 = 0.2;
const CALIBRATION_CALLS: usize = 5;
/// How many pairs of an evaluation may be repeated.
pub const MOST_VOIDS: usize = 16;

/// A device with the reference program on it.
#[derive(Debug)]
pub struct Slot {
    /// `cpu` or `cuda:N`.
    pub device: String,
    pub reference: Reference,
    lock: DeviceLock,
}

/// A call of a candidate, and the time of the reference program right after it.
#[derive(Debug)]
pub struct Pair<T = Outputs<2>> {
    pub returned: Returned<T>,
    pub reference_seconds: f64,
}

/// Decides by the calibration which pairs of an evaluation count.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    calibrated_seconds: f64,
    voids_left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairVerdict {
    Counts,
    /// The reference time is too far off: repeat the pair.
    Void,
    /// The reference time is too far off, but too many pairs were void already.
    CountsAnyway,
}

impl Tolerance {
    /// `times` are those of a calibration, seconds.
    pub fn new(times: &[f64]) -> Self {
        Self { calibrated_seconds: median(times.iter().copied()), voids_left: MOST_VOIDS }
    }

    pub fn judge(&mut self, reference_seconds: f64) -> PairVerdict {
        if (reference_seconds / self.calibrated_seconds - 1.0).abs() <= TOLERANCE {
            return PairVerdict::Counts;
        }
        if self.voids_left == 0 {
            return PairVerdict::CountsAnyway;
        }
        self.voids_left -= 1;
        PairVerdict::Void
    }
}

impl Slot {
    /// Starts the reference program on `device`.
    pub fn open(nursery: &mut Nursery, limits: &Limits, device: &str) -> Result<Self, JudgeError> {
        let reference = Reference::start(nursery, limits, device)?;
        Ok(Self { device: device.to_owned(), reference, lock: DeviceLock::open(device)? })
    }

    /// Times of the reference program alone, seconds.
    pub fn calibrate(&mut self) -> Result<Vec<f64>, JudgeError> {
        let _held = self.lock.hold()?;
        self.reference.times(CALIBRATION_CALLS)
    }

    /// Makes a call of a stopped `child`, and then one of the reference program.
    pub fn pair<T>(
        &mut self,
        child: &mut Child,
        call: impl FnOnce(&mut Child) -> Result<Returned<T>, Halt>,
    ) -> Result<Pair<T>, Halt> {
        let _held = self.lock.hold()?;
        child.unpause();
        let returned = call(child)?;
        child.pause();
        Ok(Pair { returned, reference_seconds: self.reference.times(1)?[0] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_void_when_the_reference_is_a_fifth_off_either_way() {
        let mut tolerance = Tolerance::new(&[9.0, 10.0, 30.0]);
        let verdicts = [8.1, 10.0, 11.9, 7.9, 12.1].map(|seconds| tolerance.judge(seconds));
        assert_eq!(verdicts[..3], [PairVerdict::Counts; 3]);
        assert_eq!(verdicts[3..], [PairVerdict::Void; 2]);
    }

    #[test]
    fn after_the_most_voids_pairs_count_anyway() {
        let mut tolerance = Tolerance::new(&[10.0]);
        assert!((0..MOST_VOIDS).all(|_| tolerance.judge(20.0) == PairVerdict::Void));
        assert_eq!(tolerance.judge(20.0), PairVerdict::CountsAnyway);
        assert_eq!(tolerance.judge(10.0), PairVerdict::Counts);
    }
}
