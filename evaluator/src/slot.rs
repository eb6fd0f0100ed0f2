//! Slot: the CPU or GPU on which calls are timed. A call of a candidate forms a pair with the calls of the reference
//! program right before and right after it. While one of the two programs runs, the other is stopped.

use std::time::{Duration, Instant};

use packevolve_contract::protocol::Limits;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::statistic::median;

use crate::call::Returned;
use crate::child::Child;
use crate::error::{Halt, JudgeError};
use crate::nursery::Nursery;
use crate::reference::Reference;

/// How far a reference time may be from the calibrated one, relative to it.
const TOLERANCE: f64 = 0.2;
const CALIBRATION_CALLS: usize = 5;
/// By how much work that is left on a GPU must delay the reference program, seconds. A GPU that an honest program did not
/// use has lowered its clock, which costs less.
const LEFT_WORK: f64 = 0.05;
/// How long a child may take to become ready for its call on a GPU: the slices of time of two processes, and an empty task.
const WAKE: Duration = Duration::from_millis(10);
/// What the kernels that a program loads may take of a GPU's memory beyond the limit, bytes.
const KERNELS: u64 = 256 << 20;
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
    /// Free memory of the GPU when a child was last charged for it, bytes.
    free: Option<u64>,
    /// The medians of the last calibrations, the latest one last.
    calibrations: Vec<f64>,
    /// The reference time right after the last pair, which is right before the next one.
    last: Option<f64>,
}

impl Slot {
    /// Starts the reference program on `device`, the one of the nursery.
    pub fn open(nursery: &mut Nursery, limits: &Limits, device: &str) -> Result<Self, JudgeError> {
        let reference = Reference::start(nursery, limits)?;
        Ok(Self { device: device.to_owned(), reference, free: None, calibrations: Vec::new(), last: None })
    }

    pub fn is_on_gpu(&self) -> bool {
        self.device != "cpu"
    }

    /// Times of the reference program alone, seconds.
    pub fn calibrate(&mut self) -> Result<Vec<f64>, JudgeError> {
        let times = self.reference.times(CALIBRATION_CALLS)?;
        self.calibrations.push(median(times.iter().copied()));
        self.calibrations.drain(..self.calibrations.len().saturating_sub(AGREEING));
        self.reference.usual = median(self.calibrations.iter().copied());
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
        // On a GPU these calls also keep the clock up for the candidate's.
        let before = match self.last.take().filter(|_| !self.is_on_gpu()) {
            Some(before) => before,
            None => median(self.reference.times(around)?.into_iter()),
        };
        child.unpause();
        let woken = Instant::now();
        child.wake()?;
        let woken = woken.elapsed();
        let mut returned = call(child)?;
        // The child could work there, too.
        returned.time += woken.saturating_sub(WAKE);
        child.pause()?;
        let after = median(self.reference.times(around)?.into_iter());
        self.last = Some(after);
        self.charge_memory(child)?;
        Ok((returned, [before, after]))
    }

    /// By how much the GPU, which still worked for the child after its call, delayed the reference program after the last
    /// pair, seconds. Such work would keep the clock up for the next call.
    pub fn left_work(&self) -> Option<f64> {
        Some(self.reference.late).filter(|late| self.is_on_gpu() && *late > LEFT_WORK)
    }

    /// Charges a child for the memory of the GPU that is gone since the last look: it was the only one that ran.
    pub fn charge_memory(&mut self, child: &mut Child) -> Result<(), Halt> {
        let (before, after) = (self.free, self.look_at_memory()?);
        let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
        child.gpu_memory += i64::try_from(before).unwrap_or(i64::MAX) - i64::try_from(after).unwrap_or(i64::MAX);
        let limit_bytes = child.limits.memory_bytes;
        let used_bytes = u64::try_from(child.gpu_memory).unwrap_or(0);
        if used_bytes > limit_bytes + KERNELS {
            return Err(Rejection::Memory { used_bytes, limit_bytes }.into());
        }
        Ok(())
    }

    /// Charges no child for what is gone: one was prepared, or has ended.
    pub fn look_at_memory(&mut self) -> Result<Option<u64>, JudgeError> {
        self.free = self.reference.look_at_memory()?;
        Ok(self.free)
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
