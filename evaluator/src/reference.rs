//! Reference: a small frozen program in a child of its own, timed right after every call of a candidate. Its time varies
//! with the machine and its load as the candidate's does; the ratio of the two does not.

use packevolve_contract::protocol::Limits;
use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;

use crate::call::Call;
use crate::child::Child;
use crate::error::{Halt, JudgeError};
use crate::nursery::Nursery;

/// Never changed, because times of different runs are compared through it.
const PROGRAM: &str = include_str!("reference.py");
/// A call takes 2 to 3 ms: long compared with the clock's resolution, short compared with an evaluation.
const CALL: Call = Call { rows: 64, items: 96, packs: 12, seed: 0 };
/// Untimed calls after the start, so that the first timed one is like the others.
const WARM_UP_CALLS: usize = 3;

/// The running reference program, stopped between its calls.
#[derive(Debug)]
pub struct Reference {
    pub child: Child,
    input: Vec<f32>,
    /// How many of the next times a test doubles.
    #[cfg(test)]
    pub doubled: usize,
}

impl Reference {
    /// Forks the reference program and warms it up.
    pub fn start(nursery: &mut Nursery, limits: &Limits, device: &str) -> Result<Self, JudgeError> {
        let mut rng = stream(0, 0, Purpose::Loads);
        let input: Vec<f32> = (0..CALL.rows * CALL.items).map(|_| rng.random_range(1.0..1000.0)).collect();
        let mut child = Child::fork(nursery, PROGRAM, CALL.layout().end(), limits, device)?;
        child.is_trusted = true;
        child.prepare(device)?;
        must_succeed(child.load("reference.py", &mut None))?;
        for _ in 0..WARM_UP_CALLS {
            must_succeed(child.call_unread(CALL, &input))?;
        }
        must_succeed(child.seal(nursery))?;
        must_succeed(child.pause().map_err(Halt::from))?;
        Ok(Self {
            child,
            input,
            #[cfg(test)]
            doubled: 0,
        })
    }

    /// Times of `count` calls by the device's clock, seconds.
    pub fn times(&mut self, count: usize) -> Result<Vec<f64>, JudgeError> {
        self.child.unpause();
        // The program that ran before left its data in the caches. An untimed call brings ours back, so that the times
        // do not depend on how much data that was.
        must_succeed(self.child.call_unread(CALL, &self.input))?;
        let mut times = Vec::new();
        for _ in 0..count {
            times.push(must_succeed(self.child.call_unread(CALL, &self.input))?.time.as_secs_f64());
        }
        must_succeed(self.child.pause().map_err(Halt::from))?;
        #[cfg(test)]
        for time in &mut times {
            *time *= if self.doubled > 0 { 2.0 } else { 1.0 };
            self.doubled = self.doubled.saturating_sub(1);
        }
        Ok(times)
    }
}

/// A failure of the reference program is a failure of the judge.
fn must_succeed<T>(result: Result<T, Halt>) -> Result<T, JudgeError> {
    result.map_err(|halt| match halt {
        Halt::Rejected { rejection, .. } => JudgeError::Reference(rejection),
        Halt::Broken(error) => error,
    })
}
