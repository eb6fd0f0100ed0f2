//! Session: a judge with its windows, its nursery and its slot.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use packevolve_contract::inconsistency::Switch;
use packevolve_contract::protocol::{Ready, Session, VERSION};
use packevolve_loads::source::LoadsAt;

use crate::error::JudgeError;
use crate::interpreter;
use crate::judge::device::{self, Place, Started};
use crate::judge::elsewhere::{Elsewhere, variables};
use crate::kernels::Kernels;
use crate::made_up::Series;
use crate::nursery::{Nursery, NurseryError};
use crate::planner::Course;
use crate::process;
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
    /// Of which chains are made up.
    pub(super) series: Option<Series>,
    /// Of the search, in order; made on first use.
    pub(super) known_courses: Vec<Rc<Course>>,
    /// By window and case; made on first use.
    pub(super) inputs: Vec<Vec<Option<Rc<CaseInput>>>>,
    /// By case; made on first use.
    pub(super) warm_up_inputs: Vec<Option<Rc<CaseInput>>>,
    pub(super) place: Place,
    /// What programs of building blocks have compiled.
    pub(super) known_kernels: Vec<u8>,
    python: PathBuf,
}

impl Judge {
    /// Pins the judge to its CPU, prepares the windows, from the session's files of loads if it has some, and starts the
    /// nursery and the reference program.
    pub fn open(session: Session, loads: Option<&[LoadsAt]>) -> Result<Self, JudgeError> {
        if session.version != VERSION {
            return Err(JudgeError::Version { theirs: session.version });
        }
        // Times are those of one CPU: the session's, or the one that the judge happens to run on.
        if let Some(cpu) = process::own_cpu(session.cpu) {
            process::pin_to(cpu).map_err(|source| JudgeError::Pin { cpu, source })?;
        }
        tensor::set_single_thread();
        // `packevolve doctor` opens a session without cases and still wants to know the windows.
        let cases = session.chain_windows.unwrap_or(session.cases.len()).max(1);
        let in_order = session.chain_windows.is_some();
        let size = PoolSize { search: session.windows, held_out: session.held_out, cases, in_order };
        let pool = Pool::open(loads, &session.topology, size, session.loads_seed)?;
        let series = (in_order && loads.is_none()).then(|| Series::new(&session.topology, session.loads_seed));
        let python = session.python.clone().or_else(interpreter::own).ok_or(JudgeError::NoPython)?;
        let (place, Started { nursery, slot }) = device::open(&python, &session)?;
        let inputs = vec![vec![None; session.cases.len()]; pool.len()];
        let warm_up_inputs = vec![None; session.cases.len()];
        let elsewhere = Elsewhere::default();
        let known_courses = Vec::new();
        Ok(Self {
            session,
            nursery,
            elsewhere,
            slot,
            pool,
            series,
            known_courses,
            inputs,
            warm_up_inputs,
            place,
            known_kernels: Vec::new(),
            python,
        })
    }

    pub fn ready(&self) -> Ready {
        Ready {
            version: VERSION,
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            device: self.place.device.clone(),
            device_name: self.place.name.clone(),
            python: self.nursery.interpreter.python.clone(),
            torch: self.nursery.interpreter.torch.clone(),
            judge_torch: interpreter::TORCH.to_owned(),
            numpy: self.nursery.interpreter.numpy.clone(),
            numba: self.nursery.interpreter.numba.clone(),
            torch_threads: self.slot.reference.child.torch_threads,
            windows: self.pool.search.windows.len(),
            real_windows: self.pool.search.real,
            held_out_windows: self.pool.held_out.windows.len(),
            loads_digest: self.pool.digest.clone(),
            loads_notes: self.pool.notes.clone(),
            jail: self.place.jail.steps.clone(),
            gpus: self.place.gpus.clone(),
            no_gpu: self.place.no_gpu.clone(),
        }
    }

    /// The function that a program must have. A judge that is asked for plans alone sees in its calls what there is.
    pub(super) fn required(&self) -> Option<&'static str> {
        match (self.session.chain_windows, &self.session.cases[..]) {
            (Some(_), _) => Some("rebalance_experts"),
            (None, []) => None,
            _ => Some("balanced_packing"),
        }
    }

    /// For a program of which nothing was compiled but the functions that it shares with programs of building blocks.
    pub(super) fn kernels_of(&self, program: &str) -> io::Result<Kernels> {
        Kernels::of(program, &self.known_kernels)
    }

    /// Keeps what a warm child has compiled, beside what it got, if its program consists of building blocks. It was of the first
    /// nursery, or of the one that differs in all: Numba keeps the two apart by the processor. Other children have to be able
    /// to write as much again.
    pub(super) fn keep_kernels(&mut self, is_of_blocks: bool, kernels: &Kernels) -> io::Result<()> {
        let most = self.session.limits.scratch_bytes as usize / 2;
        if is_of_blocks && !kernels.are_wanted() && (self.known_kernels.len() + 1..=most).contains(&kernels.bytes()?) {
            self.known_kernels = kernels.content()?;
        }
        Ok(())
    }

    /// The nursery whose processes differ from those of the first one by `switches`; the first one itself if that makes no
    /// difference. Started on first use.
    pub(super) fn nursery_with(&mut self, switches: &[Switch]) -> Result<&mut Nursery, NurseryError> {
        let Self { nursery, elsewhere, python, place, .. } = self;
        match variables(switches, &nursery.interpreter.numpy_vectors) {
            none if none.is_empty() => Ok(nursery),
            variables => elsewhere.nursery(python, &place.jail, variables),
        }
    }

    /// Replaces all nurseries; those beside the first one start again on first use. The jail stays what the harness was
    /// shown. The old processes end first, because they may hold the memory of a GPU.
    ///
    /// # Errors
    /// They do not end, or no new ones start. The harness then counts the judge as lost.
    pub(super) fn replace_nursery(&mut self) -> Result<(), JudgeError> {
        self.elsewhere = Elsewhere::default();
        self.nursery.shut_down()?;
        let Place { jail, device, .. } = &self.place;
        let started = device::try_to_start(&self.python, jail, &self.session, device)?;
        (self.nursery, self.slot) = (started.nursery, started.slot);
        Ok(())
    }
}
