//! Slot: the CPU or GPU on which calls are timed. A call of a candidate and the call of the reference program right after
//! it form a pair. While one of the two programs runs, the other is stopped.

use packevolve_contract::evaluation::Calibration;
use packevolve_contract::protocol::Limits;
use packevolve_contract::statistic::median;

use crate::call::Returned;
use crate::child::Child;
use crate::device_lock::DeviceLock;
use crate::error::{Halt, JudgeError};
use crate::nursery::Nursery;
use crate::reference::Reference;

/// How far a reference time may be from the median of the calibration, relative to it.
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

/// Whether to repeat a pair: its reference time is too far from the calibration's. Once too many pairs were void, all
/// later ones count.
pub fn is_void(reference_seconds: f64, calibration: &mut Calibration) -> bool {
    let calibrated_seconds = median(calibration.before.iter().copied());
    if (reference_seconds / calibrated_seconds - 1.0).abs() <= TOLERANCE {
        return false;
    }
    calibration.cap_reached |= calibration.voided.len() >= MOST_VOIDS;
    !calibration.cap_reached
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

    /// Makes a call of a stopped `child`, and then one of the reference program. Returns the time of the latter, seconds.
    pub fn pair<T>(
        &mut self,
        child: &mut Child,
        call: impl FnOnce(&mut Child) -> Result<Returned<T>, Halt>,
    ) -> Result<(Returned<T>, f64), Halt> {
        let _held = self.lock.hold()?;
        child.unpause();
        let returned = call(child)?;
        child.pause();
        Ok((returned, self.reference.times(1)?[0]))
    }
}

#[cfg(test)]
mod tests {
    use packevolve_contract::evaluation::{Sample, Voided};

    use super::*;

    #[test]
    fn a_pair_is_void_when_the_reference_is_a_fifth_off_either_way() {
        let mut calibration = Calibration { before: vec![9.0, 10.0, 30.0], ..Calibration::default() };
        let are_void = [8.1, 10.0, 11.9, 7.9, 12.1].map(|seconds| is_void(seconds, &mut calibration));
        assert_eq!(are_void, [false, false, false, true, true]);
    }

    #[test]
    fn after_the_most_voids_pairs_count_anyway() {
        let mut calibration = Calibration { before: vec![10.0], ..Calibration::default() };
        for _ in 0..MOST_VOIDS {
            assert!(is_void(20.0, &mut calibration));
            calibration.voided.push(Voided { case: String::new(), sample: Sample::default() });
        }
        assert!(!calibration.cap_reached);
        assert!(!is_void(20.0, &mut calibration) && calibration.cap_reached);
        assert!(!is_void(10.0, &mut calibration));
    }
}
