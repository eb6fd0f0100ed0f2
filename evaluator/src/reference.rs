//! Reference: a small frozen program in a child of its own, timed right beside every call of a candidate. What it costs
//! changes with the machine and its load as the candidate's cost does; the ratio of both does not.

use packevolve_contract::protocol::Limits;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;
use thiserror::Error;

use crate::child::{Call, Child, Guest};
use crate::nursery::{Nursery, NurseryError};

/// Never edited, never searched: times of different runs are compared through it.
const PROGRAM: &str = include_str!("reference.py");
/// Its calls are `[64, 96] -> 12`: 2 to 3 ms, long beside the clock's resolution and short beside an evaluation.
const CALL: Call = Call { rows: 64, items: 96, packs: 12, seed: 0 };
/// Calls before the first timed one, so that it is like the later ones.
const WARM_UP: usize = 3;
/// Timed calls of a calibration.
const CALIBRATION: usize = 5;

/// The reference program cannot be timed.
#[derive(Debug, Error)]
pub enum ReferenceError {
    #[error(transparent)]
    Nursery(#[from] NurseryError),
    #[error("the reference program fails: it {0}")]
    Fails(Rejection),
}

/// The running reference program; stopped between its calls.
#[derive(Debug)]
pub struct Reference {
    child: Child,
    input: Vec<f32>,
    /// How many of its next times are to be twice what they are.
    #[cfg(test)]
    pub(crate) slowed: usize,
}

impl Reference {
    /// Forks it and warms it up.
    ///
    /// # Errors
    /// A nursery that does not answer, or a machine on which the program does not run.
    pub fn start(nursery: &mut Nursery, limits: &Limits, device: &str) -> Result<Self, ReferenceError> {
        let mut rng = stream(0, 0, Purpose::Loads);
        let input: Vec<f32> = (0..CALL.rows * CALL.items).map(|_| rng.random_range(1.0..1000.0)).collect();
        let mut child = Child::fork(nursery, PROGRAM, input.len(), limits, device)?.of_ours();
        child.prepare(device)?;
        sound(child.load("reference.py", &mut None))?;
        for _ in 0..WARM_UP {
            sound(child.call_unread(CALL, &input))?;
        }
        sound(child.seal(nursery))?;
        child.pause();
        #[cfg(test)]
        return Ok(Self { child, input, slowed: 0 });
        #[cfg(not(test))]
        Ok(Self { child, input })
    }

    /// Threads that torch computes with in it, as in every child.
    pub fn torch_threads(&self) -> u32 {
        self.child.torch_threads()
    }

    /// Times of some calls.
    ///
    /// # Errors
    /// When it has been killed, say.
    pub fn calibrate(&mut self) -> Result<Vec<f64>, ReferenceError> {
        self.times(CALIBRATION)
    }

    /// Time of one call by the device's clock, seconds.
    ///
    /// # Errors
    /// When it has been killed, say.
    pub fn time(&mut self) -> Result<f64, ReferenceError> {
        Ok(self.times(1)?[0])
    }

    /// Times of so many calls in a row.
    fn times(&mut self, count: usize) -> Result<Vec<f64>, ReferenceError> {
        self.child.unpause();
        // Whoever ran before has left its own data in the caches; so that the times do not depend on how much of it
        // there was, a call that is not timed brings ours back.
        sound(self.child.call_unread(CALL, &self.input))?;
        let times =
            (0..count).map(|_| Ok(sound(self.child.call_unread(CALL, &self.input))?.time.as_secs_f64())).collect();
        self.child.pause();
        #[cfg(test)]
        let times = self.slow(times);
        times
    }

    #[cfg(test)]
    fn slow(&mut self, times: Result<Vec<f64>, ReferenceError>) -> Result<Vec<f64>, ReferenceError> {
        let slowed = |time: f64| {
            let is_slowed = self.slowed > 0;
            self.slowed = self.slowed.saturating_sub(1);
            if is_slowed { 2.0 * time } else { time }
        };
        times.map(|times| times.into_iter().map(slowed).collect())
    }
}

/// Of this program a failure is ours.
fn sound<T>(outcome: Guest<T>) -> Result<T, ReferenceError> {
    outcome?.map_err(|failure| ReferenceError::Fails(failure.rejection))
}
