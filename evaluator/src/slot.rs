//! Slot: the CPU or GPU on which calls are timed. A call of a candidate forms a pair with the calls of the reference
//! program right before and right after it. While one of the two programs runs, the other is stopped.

use packevolve_contract::protocol::Limits;
use packevolve_contract::statistic::median;

use crate::call::Returned;
use crate::child::Child;
use crate::device_lock::DeviceLock;
use crate::error::{Halt, JudgeError};
use crate::nursery::Nursery;
use crate::reference::Reference;

/// How far a reference time may be from the calibrated one, relative to it.
const TOLERANCE: f64 = 0.2;
const CALIBRATION_CALLS: usize = 5;
/// A slot has settled once this many calibrations in a row agree.
const AGREEING: usize = 3;
/// How far agreeing calibrations may be apart.
const AGREEMENT: f64 = 0.03;
/// After this many calibrations the judge also uses a slot that has not settled.
const MOST_CALIBRATIONS: usize = 30;

/// A device with the reference program on it.
#[derive(Debug)]
pub struct Slot {
    /// `cpu` or `cuda:N`.
    pub device: String,
    pub reference: Reference,
    lock: DeviceLock,
    /// The medians of the last calibrations, the latest one last.
    calibrations: Vec<f64>,
    /// The reference time right after the last pair, which is right before the next one.
    last: Option<f64>,
}

impl Slot {
    /// Starts the reference program on `device`.
    pub fn open(nursery: &mut Nursery, limits: &Limits, device: &str) -> Result<Self, JudgeError> {
        let reference = Reference::start(nursery, limits, device)?;
        let lock = DeviceLock::open(device)?;
        Ok(Self { device: device.to_owned(), reference, lock, calibrations: Vec::new(), last: None })
    }

    /// Times of the reference program alone, seconds.
    pub fn calibrate(&mut self) -> Result<Vec<f64>, JudgeError> {
        let _held = self.lock.hold()?;
        let times = self.reference.times(CALIBRATION_CALLS)?;
        self.calibrations.push(median(times.iter().copied()));
        self.calibrations.drain(..self.calibrations.len().saturating_sub(AGREEING));
        self.last = None;
        Ok(times)
    }

    /// Calibrates until the last calibrations agree, or for a bounded number of times. Returns the times of the last one,
    /// seconds.
    pub fn settle(&mut self) -> Result<Vec<f64>, JudgeError> {
        let mut times = self.calibrate()?;
        for _ in 1..MOST_CALIBRATIONS {
            if agree(&self.calibrations) {
                break;
            }
            times = self.calibrate()?;
        }
        Ok(times)
    }

    /// Lets the next pair time the reference program on both sides, because another program has run since the last pair.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// Whether the judge repeats a pair: the reference time on one of its sides is too far from the calibrated one.
    pub fn is_off(&self, sides: [f64; 2]) -> bool {
        let calibrated = median(self.calibrations.iter().copied());
        sides.into_iter().any(|seconds| (seconds / calibrated - 1.0).abs() > TOLERANCE)
    }

    /// Makes a call of a stopped `child`, and `around` calls of the reference program before and after it. Returns their
    /// mean times on both sides, seconds.
    pub fn pair<T>(
        &mut self,
        child: &mut Child,
        around: usize,
        call: impl FnOnce(&mut Child) -> Result<Returned<T>, Halt>,
    ) -> Result<(Returned<T>, [f64; 2]), Halt> {
        let _held = self.lock.hold()?;
        let before = match self.last.take() {
            Some(before) => before,
            None => median(self.reference.times(around)?.into_iter()),
        };
        child.unpause();
        let returned = call(child)?;
        child.pause()?;
        let after = median(self.reference.times(around)?.into_iter());
        self.last = Some(after);
        Ok((returned, [before, after]))
    }
}

fn agree(calibrations: &[f64]) -> bool {
    let (least, most) = calibrations
        .iter()
        .fold((f64::INFINITY, 0.0), |(least, most), time| (f64::min(least, *time), f64::max(most, *time)));
    calibrations.len() == AGREEING && most <= least * (1.0 + AGREEMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_settled_once_three_calibrations_agree() {
        assert!(!agree(&[]) && !agree(&[3.0, 3.0]));
        assert!(agree(&[3.0, 3.05, 3.08]));
        assert!(!agree(&[3.0, 3.05, 3.1]) && !agree(&[8.8, 3.0, 3.0]));
    }
}
