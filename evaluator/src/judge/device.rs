//! Device: where a session measures. Chooses the CPU or a GPU, and starts nursery and reference program there; finds the
//! step of the jail that keeps a GPU from working.

use std::path::Path;

use packevolve_contract::protocol::{self, Session};

use crate::child::Child;
use crate::device_lock::DeviceLock;
use crate::error::JudgeError;
use crate::gpu::{Gpu, Gpus};
use crate::kernels::Kernels;
use crate::nursery::{Nursery, NurseryError, Variables};
use crate::process;
use crate::sandbox::Jail;
use crate::slot::Slot;

/// What a child runs that only makes a context.
const NO_PROGRAM: &str = "";

/// A running nursery, and the slot that it serves.
pub(super) struct Started {
    pub nursery: Nursery,
    pub slot: Slot,
}

/// Where a session measures, and what else the machine offers.
pub(super) struct Place {
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// The name of the processor or GPU.
    pub name: String,
    pub jail: Jail,
    pub lock: DeviceLock,
    pub gpus: Vec<protocol::Gpu>,
    /// Why it is the CPU although there should be a GPU.
    pub no_gpu: Option<String>,
}

/// Opens the device that the session asks for. `auto` is the first GPU, or the CPU if there is none that works.
pub(super) fn open(python: &Path, session: &Session) -> Result<(Place, Started), JudgeError> {
    let Gpus { gpus, error } = Gpus::look(python);
    let chosen = choose(&session.device, &gpus, error.as_deref())?;
    let offered = gpus.iter().enumerate().map(|(number, Gpu { name, driver, .. })| protocol::Gpu {
        device: format!("cuda:{number}"),
        name: name.clone(),
        driver: driver.clone(),
    });
    let offered: Vec<_> = offered.collect();
    let place = |number: Option<usize>, no_gpu: Option<String>| -> Result<(Place, Started), JudgeError> {
        let gpu = number.map(|number| gpus[number].clone());
        let device = number.map_or_else(|| "cpu".to_owned(), |number| format!("cuda:{number}"));
        let name = gpu.as_ref().map_or_else(process::cpu_name, |gpu| gpu.name.clone());
        let lock = DeviceLock::open(gpu.as_ref().map(|gpu| gpu.uuid.as_str()))?;
        let mut jail = Jail::new(session.sandbox, session.allow_compile).on(gpu);
        let held = lock.hold()?;
        let started = start(python, &mut jail, session, &device)?;
        drop(held);
        Ok((Place { device, name, jail, lock, gpus: offered.clone(), no_gpu }, started))
    };
    match place(chosen, error.filter(|_| session.device == "auto")) {
        Err(reason) if session.device == "auto" && chosen.is_some() => place(None, Some(chain(&reason))),
        placed => placed,
    }
}

/// Starts the nursery and the reference program. Leaves out of the jail what cannot be taken, or keeps the GPU from
/// working, unless it is required.
fn start(python: &Path, jail: &mut Jail, session: &Session, device: &str) -> Result<Started, JudgeError> {
    loop {
        match try_to_start(python, jail, session, device) {
            Err(JudgeError::Nursery(NurseryError::Unavailable { step, reason })) if jail.leave_out(&step, &reason) => {}
            Err(JudgeError::Nursery(NurseryError::Unprepared(reason))) if jail.gpu.is_some() => {
                *jail = without_what_refuses(python, jail, session, &reason)?;
            }
            started => return started,
        }
    }
}

/// Starts them in this jail.
pub(super) fn try_to_start(python: &Path, jail: &Jail, session: &Session, device: &str) -> Result<Started, JudgeError> {
    let mut nursery = Nursery::start(python, jail, &Variables::new())?;
    let slot = Slot::open(&mut nursery, &session.limits, device)?;
    Ok(Started { nursery, slot })
}

/// The jail without the steps that keep the driver of a GPU from making a context. Torch failed there for a `reason`.
///
/// Steps overlap: two of them may hide one file. So all are left out, and put back one by one while a context can be made,
/// the last ones first, because a namespace of processes needs the view of files that shows them.
///
/// # Errors
/// The jail is required, or not to blame.
fn without_what_refuses(python: &Path, jail: &Jail, session: &Session, reason: &str) -> Result<Jail, JudgeError> {
    let tried = |left_out: &[&str]| context_in(python, &jail.without(left_out, "a trial"), session);
    let Some(refusal) = tried(&[])? else {
        let reason = format!("CUDA works in the jail, but torch cannot use it: {reason}");
        return Err(NurseryError::Unprepared(reason).into());
    };
    let mut left_out = jail.optional();
    if let Some(refusal) = tried(&left_out)? {
        let reason = format!("no CUDA context can be made, not even without the jail: {refusal}");
        return Err(NurseryError::Unprepared(reason).into());
    }
    for step in jail.optional().into_iter().rev() {
        let others: Vec<&str> = left_out.iter().copied().filter(|other| *other != step).collect();
        if tried(&others)?.is_none() {
            left_out = others;
        }
    }
    if left_out.is_empty() {
        let reason = format!("a CUDA context can be made at one time and not at another: {refusal}");
        return Err(NurseryError::Unprepared(reason).into());
    }
    let reason = format!("no CUDA context can be made with it: {refusal}");
    if jail.is_required() {
        return Err(NurseryError::Unavailable { step: left_out.join(" and "), reason }.into());
    }
    Ok(jail.without(&left_out, &reason))
}

/// Has a child in this jail make a context by the driver alone. Returns why that fails, if it does.
fn context_in(python: &Path, jail: &Jail, session: &Session) -> Result<Option<String>, JudgeError> {
    let tried = Nursery::start(python, jail, &Variables::new()).and_then(|mut nursery| {
        let mut child = Child::fork(&mut nursery, NO_PROGRAM, &Kernels::none()?, 1, &session.limits)?;
        let made = child.make_context();
        child.end(&mut nursery, "", String::new())?;
        Ok(made)
    });
    match tried {
        Ok(Ok(())) => Ok(None),
        Ok(Err(JudgeError::Nursery(NurseryError::Unprepared(reason)))) => Ok(Some(reason)),
        Err(NurseryError::Unavailable { step, reason }) => Ok(Some(format!("{step}: {reason}"))),
        Ok(Err(error)) => Err(error),
        Err(error) => Err(error.into()),
    }
}

/// The number of the GPU that is `wanted`; `None` for the CPU.
fn choose(wanted: &str, gpus: &[Gpu], error: Option<&str>) -> Result<Option<usize>, JudgeError> {
    let number = match wanted {
        "cpu" => return Ok(None),
        "auto" => return Ok((!gpus.is_empty()).then_some(0)),
        _ => wanted.strip_prefix("cuda:").and_then(|number| number.parse::<usize>().ok()),
    };
    if let Some(number) = number.filter(|number| *number < gpus.len()) {
        return Ok(Some(number));
    }
    let named = gpus.iter().enumerate().map(|(number, gpu)| format!(", cuda:{number} ({})", gpu.name));
    let why = error.map(|error| format!(" ({error})"));
    let available = format!("cpu{}{}", named.collect::<String>(), why.unwrap_or_default());
    Err(JudgeError::Device { device: wanted.to_owned(), available })
}

/// An error with its causes.
fn chain(error: &JudgeError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_prefers_a_gpu_and_a_missing_one_is_named() {
        let gpus = [Gpu { name: "H200".to_owned(), ..Gpu::default() }];
        assert_eq!(choose("auto", &gpus, None).unwrap(), Some(0));
        assert_eq!(choose("auto", &[], None).unwrap(), None);
        assert_eq!(choose("cpu", &gpus, None).unwrap(), None);
        let error = choose("cuda:1", &gpus, None).unwrap_err();
        assert_eq!(error.to_string(), "no device cuda:1: this machine has cpu, cuda:0 (H200)");
        assert!(error.hint().is_some());
        assert!(choose("gpu", &gpus, None).is_err());
    }

    #[test]
    fn why_the_driver_offers_no_gpu_is_part_of_the_error() {
        let error = choose("cuda:0", &[], Some("cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802)")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no device cuda:0: this machine has cpu (cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802))"
        );
    }
}
