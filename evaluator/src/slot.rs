//! Slot: where calls are timed. One call of a candidate and, right after it, one of the reference program are a pair;
//! while the one runs the other is stopped, and a GPU is locked for both.

use std::fs::File;
use std::io;
use std::rc::Rc;

use packevolve_contract::protocol::Limits;
use packevolve_contract::rejection::Rejection;
use thiserror::Error;

use crate::child::{Call, Child, Failure, PlanCall, Returned};
use crate::nursery::{Nursery, NurseryError};
use crate::placement;
use crate::reference::{Reference, ReferenceError};
use crate::shared::{Outputs, PlanOutputs};

/// Nothing can be timed here.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
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
    let path = std::env::temp_dir().join(format!("packevolve-cuda-{number}.lock"));
    let open = File::options().create(true).truncate(false).write(true).open(path);
    Ok(Some(Rc::new(open.map_err(|source| SlotError::Lock { device: device.to_owned(), source })?)))
}
