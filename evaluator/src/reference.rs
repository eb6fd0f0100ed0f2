//! Reference: a small frozen program in a child of its own, timed right beside every call of a candidate. What it costs
//! changes with the machine and its load as the candidate's cost does; the ratio of both does not.

use packevolve_contract::protocol::Limits;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;
use thiserror::Error;

use crate::child::{Call, Child, Guest, Returned};
use crate::nursery::{Nursery, NurseryError};

/// Never edited, never searched: times of different runs are compared through it.
const PROGRAM: &str = include_str!("reference.py");
/// Its calls are `[64, 96] -> 12`: 2 to 3 ms, long beside the clock's resolution and short beside an evaluation.
const CALL: Call = Call { rows: 64, items: 96, packs: 12, seed: 0 };
/// Calls before the first timed one, so that it is like the later ones.
const WARM_UP: usize = 3;

/// The reference program cannot be timed.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
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
}

impl Reference {
    /// Forks it and warms it up.
    ///
    /// # Errors
    /// A nursery that does not answer, or a machine on which the program does not run.
    pub fn start(nursery: &mut Nursery, limits: &Limits, device: &str) -> Result<Self, ReferenceError> {
        let mut rng = stream(0, 0, Purpose::Loads);
        let input: Vec<f32> = (0..CALL.rows * CALL.items).map(|_| rng.random_range(1.0..1000.0)).collect();
        let mut child = Child::fork(nursery, PROGRAM, input.len(), limits, device)?;
        sound(child.load("reference.py", device))?;
        for _ in 0..WARM_UP {
            sound(child.call(CALL, &input))?;
        }
        child.pause();
        Ok(Self { child, input })
    }

    /// Time of one call by the device's clock, seconds.
    ///
    /// # Errors
    /// When it has been killed, say.
    pub fn time(&mut self) -> Result<f64, ReferenceError> {
        self.child.unpause();
        let Returned { time, .. } = sound(self.child.call(CALL, &self.input))?;
        self.child.pause();
        Ok(time.as_secs_f64())
    }
}

/// Of this program a failure is ours.
fn sound<T>(outcome: Guest<T>) -> Result<T, ReferenceError> {
    outcome?.map_err(|failure| ReferenceError::Fails(failure.rejection))
}
