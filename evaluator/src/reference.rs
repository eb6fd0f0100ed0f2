//! Reference: a small frozen program in a child of its own, timed right after every call of a candidate. Its time varies
//! with the machine and its load as the candidate's does; the ratio of the two does not.

use std::time::{Duration, Instant};

use packevolve_contract::protocol::Limits;
use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;

use crate::call::Call;
use crate::child::Child;
use crate::error::{Halt, JudgeError};
use crate::kernels::Kernels;
use crate::nursery::Nursery;

/// Never changed, because times of different runs are compared through it.
const PROGRAM: &str = include_str!("reference.py");
/// A call takes 2 to 3 ms: long compared with the clock's resolution, short compared with an evaluation.
const CALL: Call = Call { rows: 64, items: 96, packs: 12, seed: 0 };
/// Untimed calls after the start, so that the first timed one is like the others.
const WARM_UP_CALLS: usize = 3;
/// An idle GPU runs at a sixth of its clock. It is awake once it was used for this long and two calls agree ...
const LEAST_SPIN: Duration = Duration::from_millis(50);
/// ... or for this long.
const MOST_SPIN: Duration = Duration::from_millis(500);
/// How far the two may be apart.
const AGREEMENT: f64 = 0.05;

/// The running reference program, stopped between its calls.
#[derive(Debug)]
pub struct Reference {
    pub child: Child,
    input: Vec<f32>,
    /// What a call usually takes, seconds; zero until the slot is calibrated.
    pub usual: f64,
    /// By how much the untimed calls before the last timed ones exceeded that, seconds.
    pub late: f64,
    /// Free memory of the GPU after them, bytes; `None` on the CPU.
    pub free: Option<u64>,
    /// How many of the next times a test doubles.
    #[cfg(test)]
    pub doubled: usize,
}

impl Reference {
    /// Forks the reference program and warms it up.
    pub fn start(nursery: &mut Nursery, limits: &Limits) -> Result<Self, JudgeError> {
        let mut rng = stream(0, 0, Purpose::Loads);
        let input: Vec<f32> = (0..CALL.rows * CALL.items).map(|_| rng.random_range(1.0..1000.0)).collect();
        let child = Child::fork(nursery, PROGRAM, &Kernels::none()?, CALL.layout().end(), limits)?;
        let (mut child, _) = child.prepared(nursery)?;
        child.is_trusted = true;
        must_succeed(child.load("reference.py", Some("balanced_packing"), &mut None))?;
        for _ in 0..WARM_UP_CALLS {
            must_succeed(child.call_unread(CALL, &input))?;
        }
        must_succeed(child.seal(nursery))?;
        must_succeed(child.pause().map_err(Halt::from))?;
        Ok(Self {
            child,
            input,
            usual: 0.0,
            late: 0.0,
            free: None,
            #[cfg(test)]
            doubled: 0,
        })
    }

    /// Times of `count` calls by the device's clock, seconds.
    pub fn times(&mut self, count: usize) -> Result<Vec<f64>, JudgeError> {
        self.child.unpause();
        self.late = self.get_up_to_speed()?;
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(self.time()?);
        }
        self.free = must_succeed(self.child.wake())?;
        must_succeed(self.child.pause().map_err(Halt::from))?;
        #[cfg(test)]
        for time in &mut times {
            *time *= if self.doubled > 0 { 2.0 } else { 1.0 };
            self.doubled = self.doubled.saturating_sub(1);
        }
        Ok(times)
    }

    /// Free memory of the GPU, bytes; `None` on the CPU.
    pub fn look_at_memory(&mut self) -> Result<Option<u64>, JudgeError> {
        if self.free.is_some() {
            self.child.unpause();
            self.free = must_succeed(self.child.wake())?;
            must_succeed(self.child.pause().map_err(Halt::from))?;
        }
        Ok(self.free)
    }

    /// Untimed calls. The program that ran before left its data in the caches; one call brings ours back, so that the times
    /// do not depend on how much data that was. A GPU must also run at its full clock. Returns by how much the calls
    /// exceeded the usual time, seconds.
    fn get_up_to_speed(&mut self) -> Result<f64, JudgeError> {
        let started = Instant::now();
        let is_on_gpu = must_succeed(self.child.wake())?.is_some();
        let mut late = started.elapsed().as_secs_f64();
        let mut last = self.time()?;
        late += (last - self.usual).max(0.0);
        while is_on_gpu && started.elapsed() < MOST_SPIN {
            let time = self.time()?;
            late += (time - self.usual).max(0.0);
            if (time / last - 1.0).abs() < AGREEMENT && started.elapsed() > LEAST_SPIN {
                break;
            }
            last = time;
        }
        Ok(if self.usual > 0.0 { late } else { 0.0 })
    }

    /// The time of one call, seconds.
    fn time(&mut self) -> Result<f64, JudgeError> {
        Ok(must_succeed(self.child.call_unread(CALL, &self.input))?.time.as_secs_f64())
    }
}

/// A failure of the reference program is a failure of the judge.
fn must_succeed<T>(result: Result<T, Halt>) -> Result<T, JudgeError> {
    result.map_err(|halt| match halt {
        Halt::Rejected { rejection, .. } => JudgeError::Reference(rejection),
        Halt::Broken(error) => error,
    })
}
