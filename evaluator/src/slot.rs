//! Slot: where calls are timed. One call of a candidate and, right after it, one of the reference program are a pair;
//! while the one runs the other is stopped, and a GPU is locked for both.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use packevolve_contract::protocol::Limits;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::statistic::median;
use thiserror::Error;

use crate::child::{Call, Child, Failure, PlanCall, Returned};
use crate::nursery::{Nursery, NurseryError};
use crate::placement;
use crate::reference::{Reference, ReferenceError};
use crate::shared::{Outputs, PlanOutputs};

/// How far a reference time may be from the calibration.
const TOLERANCE: f64 = 0.2;
/// How many pairs of an evaluation may be void.
pub const MOST_VOIDS: usize = 16;

/// Nothing can be timed here.
#[derive(Debug, Error)]
pub enum SlotError {
    #[error(transparent)]
    Nursery(#[from] NurseryError),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error("cannot lock device {device}")]
    Lock { device: String, source: io::Error },
}

/// One CPU or GPU with the reference program on it.
#[derive(Debug)]
pub struct Slot {
    device: String,
    reference: Reference,
    lock: Option<Rc<File>>,
}

/// A call of a candidate and one of the reference program beside it.
#[derive(Debug)]
pub struct Pair<T = Outputs> {
    /// What the candidate returned, when.
    pub returned: Returned<T>,
    /// Time of the reference program, by the same clock.
    pub reference_seconds: f64,
}

/// What the reference times of an evaluation are held against, and how many pairs may still be void.
#[derive(Clone, Copy, Debug)]
pub struct Yardstick {
    seconds: f64,
    voids_left: usize,
}

/// What becomes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Counts,
    /// It is to be made again.
    Void,
    /// It counts although the reference program is off: there were too many voids.
    CountsAnyway,
}

impl Yardstick {
    /// The median of a calibration's `times`.
    pub fn new(times: &[f64]) -> Self {
        Self { seconds: median(times.iter().copied()), voids_left: MOST_VOIDS }
    }

    /// What becomes of a pair with this time of the reference program.
    pub fn judge(&mut self, reference_seconds: f64) -> Standing {
        if (reference_seconds / self.seconds - 1.0).abs() <= TOLERANCE {
            return Standing::Counts;
        }
        if self.voids_left == 0 {
            return Standing::CountsAnyway;
        }
        self.voids_left -= 1;
        Standing::Void
    }
}

/// A GPU is one judge's alone while a pair is timed on it; free again when this is dropped.
struct DeviceLock(Rc<File>);

impl Drop for DeviceLock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Slot {
    /// Starts the reference program on `device`.
    ///
    /// # Errors
    /// When it does not run there.
    pub fn open(nursery: &mut Nursery, limits: &Limits, device: &str) -> Result<Self, SlotError> {
        let reference = Reference::start(nursery, limits, device)?;
        Ok(Self { device: device.to_owned(), reference, lock: lock_file(device)? })
    }

    /// The device: `cpu` or `cuda:N`.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Threads that torch computes with in every child.
    pub fn torch_threads(&self) -> u32 {
        self.reference.torch_threads()
    }

    /// Times of the reference program alone.
    ///
    /// # Errors
    /// When our own machinery broke.
    pub fn calibrate(&mut self) -> Result<Vec<f64>, SlotError> {
        let _lock = self.lock()?;
        Ok(self.reference.calibrate()?)
    }

    /// The next `times` of the reference program are to be twice what they are.
    #[cfg(test)]
    pub(crate) fn slow_reference(&mut self, times: usize) {
        self.reference.slowed = times;
    }

    /// Has a stopped child make a call, and the reference program one.
    ///
    /// # Errors
    /// When our own machinery broke.
    pub fn pair(&mut self, child: &mut Child, call: Call, weights: &[f32]) -> Result<Result<Pair, Failure>, SlotError> {
        let _lock = self.lock()?;
        child.unpause();
        let returned = match child.call(call, weights)? {
            Ok(returned) => returned,
            Err(failure) => return Ok(Err(failure)),
        };
        child.pause();
        Ok(Ok(Pair { returned, reference_seconds: self.reference.time()? }))
    }

    /// Has a stopped child plan a rebalance, and the reference program make a call; `None` if the child's program has no
    /// `rebalance_experts`.
    ///
    /// # Errors
    /// When our own machinery broke.
    pub fn plan(
        &mut self,
        child: &mut Child,
        call: PlanCall<'_>,
        loads: &[f32],
    ) -> Result<Result<Option<Pair<PlanOutputs>>, Failure>, SlotError> {
        let _lock = self.lock()?;
        child.unpause();
        let returned = match child.plan(call, loads)? {
            Ok(Some(returned)) => returned,
            Ok(None) => return Ok(Ok(None)),
            Err(failure) => return Ok(Err(failure)),
        };
        child.pause();
        Ok(Ok(Some(Pair { returned, reference_seconds: self.reference.time()? })))
    }

    fn lock(&self) -> Result<Option<DeviceLock>, SlotError> {
        let Some(file) = &self.lock else { return Ok(None) };
        file.lock().map_err(|source| SlotError::Lock { device: self.device.clone(), source })?;
        Ok(Some(DeviceLock(file.clone())))
    }
}

/// Whether a call kept the contract: a valid placement, and its input as it was.
///
/// # Errors
/// How it did not.
pub fn check(returned: &Returned, weights: &[f32], call: Call) -> Result<(), Failure> {
    let Call { rows, items, packs, .. } = call;
    let outputs = &returned.outputs;
    unchanged(&outputs.input, weights, |at| format!("row {}, item {}", at / items, at % items))?;
    placement::verify(&outputs.pack_index, &outputs.rank_in_pack, rows, items, packs)
        .map_err(|error| Rejection::InvalidPlacement { message: error.to_string() }.into())
}

/// Whether the input is as it was, to the bit.
///
/// # Errors
/// Where it is not, by `place`.
pub fn unchanged(input: &[f32], given: &[f32], place: impl Fn(usize) -> String) -> Result<(), Failure> {
    match (0..given.len()).find(|&at| input[at].to_bits() != given[at].to_bits()) {
        Some(at) => {
            let message = format!("{}: {} became {}", place(at), given[at], input[at]);
            Err(Rejection::MutatedInput { message }.into())
        }
        None => Ok(()),
    }
}

/// One lock a GPU for all judges of this machine.
fn lock_file(device: &str) -> Result<Option<Rc<File>>, SlotError> {
    let Some(number) = device.strip_prefix("cuda:") else { return Ok(None) };
    let opened = shared_file(&lock_path(number));
    Ok(Some(Rc::new(opened.map_err(|source| SlotError::Lock { device: device.to_owned(), source })?)))
}

fn lock_path(gpu: &str) -> PathBuf {
    std::env::temp_dir().join(format!("packevolve-cuda-{gpu}.lock"))
}

/// Opens a file that any user may have made, in a folder where all may make some. To read it is enough to lock it, and all
/// that is allowed with what others have made.
fn shared_file(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => new_file(path).or_else(|_| File::open(path)),
        opened => opened,
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create_new(true).open(path)?;
    // Whatever the mask of whoever comes first.
    file.set_permissions(Permissions::from_mode(0o644))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_pair_is_void_when_the_reference_is_a_fifth_off_either_way() {
        let mut yardstick = Yardstick::new(&[9.0, 10.0, 30.0]);
        let standings = [8.1, 10.0, 11.9, 7.9, 12.1].map(|seconds| yardstick.judge(seconds));
        assert_eq!(standings[..3], [Standing::Counts; 3]);
        assert_eq!(standings[3..], [Standing::Void; 2]);
    }

    #[test]
    fn a_gpu_is_one_judges_at_a_time() {
        let gpu = format!("one-{}", std::process::id());
        let [one, other] = [(); 2].map(|()| lock_file(&format!("cuda:{gpu}")).unwrap().unwrap());
        one.lock().unwrap();
        let held = DeviceLock(one);
        assert!(matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock)));
        drop(held);
        assert!(other.try_lock().is_ok());
        assert!(lock_file("cpu").unwrap().is_none());
        fs::remove_file(lock_path(&gpu)).unwrap();
    }

    #[test]
    fn a_gpu_that_another_user_has_locked_before_can_be_locked() {
        let gpu = format!("others-{}", std::process::id());
        let path = lock_path(&gpu);
        let own = lock_file(&format!("cuda:{gpu}")).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        // To an ordinary user this is what the file of another user is.
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        let others = lock_file(&format!("cuda:{gpu}")).unwrap().unwrap();
        own.lock().unwrap();
        assert!(matches!(others.try_lock(), Err(fs::TryLockError::WouldBlock)));
        own.unlock().unwrap();
        others.try_lock().unwrap();
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn after_so_many_voids_pairs_count_anyway() {
        let mut yardstick = Yardstick::new(&[10.0]);
        assert!((0..MOST_VOIDS).all(|_| yardstick.judge(20.0) == Standing::Void));
        assert_eq!(yardstick.judge(20.0), Standing::CountsAnyway);
        assert_eq!(yardstick.judge(10.0), Standing::Counts);
    }
}
