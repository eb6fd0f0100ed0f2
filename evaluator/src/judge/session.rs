//! Session: a judge with its windows, its nursery and its slot.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sched::sched_getcpu;
use packevolve_contract::inconsistency::Switch;
use packevolve_contract::protocol::{Ready, Session, VERSION};

use crate::error::JudgeError;
use crate::judge::elsewhere::{Elsewhere, variables};
use crate::nursery::{Nursery, NurseryError, Variables};
use crate::process;
use crate::sandbox::Jail;
use crate::score::CaseInput;
use crate::slot::Slot;
use crate::tensor;
use crate::workload::{Pool, PoolSize};

/// A judge for one session. The files of this folder each implement a part of an evaluation, so they share the fields.
pub struct Judge {
    pub(super) session: Session,
    pub(super) nursery: Nursery,
    pub(super) elsewhere: Elsewhere,
    pub(super) slot: Slot,
    pub(super) pool: Pool,
    /// By window and case; made on first use.
    pub(super) inputs: Vec<Vec<Option<Rc<CaseInput>>>>,
    /// By case; made on first use.
    pub(super) warm_up_inputs: Vec<Option<Rc<CaseInput>>>,
    python: PathBuf,
    device_name: String,
    jail: Jail,
}

impl Judge {
    /// Pins the judge to its CPU, prepares the windows, and starts the nursery and the reference program.
    pub fn open(session: Session) -> Result<Self, JudgeError> {
        if session.version != VERSION {
            return Err(JudgeError::Version { theirs: session.version });
        }
        // Times are those of one CPU: the session's, or the one that the judge happens to run on.
        if let Some(cpu) = session.cpu.or_else(|| sched_getcpu().ok()) {
            process::pin_to(cpu).map_err(|source| JudgeError::Pin { cpu, source })?;
        }
        tensor::set_single_thread();
        // `packevolve doctor` opens a session without cases and still wants to know the windows.
        let cases = session.cases.len().max(1);
        let size = PoolSize { search: session.windows, held_out: session.held_out, cases };
        let pool = Pool::open(&session.loads, &session.topology, size, session.loads_seed)?;
        let built_with = || Some(PathBuf::from(env!("PACKEVOLVE_PYTHON"))).filter(|python| python.exists());
        let python = session.python.clone().or_else(built_with).ok_or(JudgeError::NoPython)?;
        let mut jail = Jail::new(session.sandbox, session.allow_compile);
        let (nursery, slot, device_name) = loop {
            match start(&python, &jail, &session) {
                Err(JudgeError::Nursery(NurseryError::Unavailable { step, reason }))
                    if jail.leave_out(&step, &reason) => {}
                started => break started?,
            }
        };
        let inputs = vec![vec![None; session.cases.len()]; pool.len()];
        let warm_up_inputs = vec![None; session.cases.len()];
        let elsewhere = Elsewhere::default();
        Ok(Self { session, nursery, elsewhere, slot, pool, inputs, warm_up_inputs, python, device_name, jail })
    }

    pub fn ready(&self) -> Ready {
        Ready {
            version: VERSION,
            device: self.slot.device.clone(),
            device_name: self.device_name.clone(),
            python: self.nursery.interpreter.python.clone(),
            torch: self.nursery.interpreter.torch.clone(),
            torch_threads: self.slot.reference.child.torch_threads,
            windows: self.pool.search.windows.len(),
            real_windows: self.pool.search.real,
            held_out_windows: self.pool.held_out.windows.len(),
            loads_digest: self.pool.digest.clone(),
            jail: self.jail.steps.clone(),
        }
    }

    /// The nursery whose processes differ from those of the first one by `switches`; the first one itself if that makes no
    /// difference. Started on first use.
    pub(super) fn nursery_with(&mut self, switches: &[Switch]) -> Result<&mut Nursery, NurseryError> {
        let Self { nursery, elsewhere, python, jail, .. } = self;
        match variables(switches, &nursery.interpreter.numpy_vectors) {
            none if none.is_empty() => Ok(nursery),
            variables => elsewhere.nursery(python, jail, variables),
        }
    }

    /// Replaces all nurseries; those beside the first one start again on first use.
    pub(super) fn replace_nursery(&mut self) -> Result<(), JudgeError> {
        self.elsewhere = Elsewhere::default();
        (self.nursery, self.slot, self.device_name) = start(&self.python, &self.jail, &self.session)?;
        Ok(())
    }
}

/// Starts a nursery and the reference program in it, and returns them with the name of the device.
fn start(python: &Path, jail: &Jail, session: &Session) -> Result<(Nursery, Slot, String), JudgeError> {
    let mut nursery = Nursery::start(python, jail, &Variables::new())?;
    let (device, device_name) = choose_device(&session.device, &nursery.interpreter.cuda)?;
    let slot = Slot::open(&mut nursery, &session.limits, &device)?;
    Ok((nursery, slot, device_name))
}

/// The device and its name. `auto` is the first GPU, or the CPU if there is no GPU.
fn choose_device(wanted: &str, gpus: &[String]) -> Result<(String, String), JudgeError> {
    let number = match wanted {
        "cpu" => None,
        "auto" => (!gpus.is_empty()).then_some(0),
        _ => Some(wanted.strip_prefix("cuda:").and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)),
    };
    let Some(number) = number else { return Ok(("cpu".to_owned(), process::cpu_name())) };
    if let Some(name) = gpus.get(number) {
        return Ok((format!("cuda:{number}"), name.clone()));
    }
    let named = gpus.iter().enumerate().map(|(number, name)| format!(", cuda:{number} ({name})"));
    Err(JudgeError::Device { device: wanted.to_owned(), available: format!("cpu{}", named.collect::<String>()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_prefers_a_gpu_and_a_missing_one_is_named() {
        let gpus = ["H200".to_owned()];
        assert_eq!(choose_device("auto", &gpus).unwrap().0, "cuda:0");
        assert_eq!(choose_device("auto", &[]).unwrap().0, "cpu");
        let error = choose_device("cuda:1", &gpus).unwrap_err();
        assert_eq!(error.to_string(), "no device cuda:1: this machine has cpu, cuda:0 (H200)");
        assert!(error.hint().is_some());
        assert!(choose_device("gpu", &gpus).is_err());
    }
}
