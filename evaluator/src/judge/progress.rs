//! Progress: an evaluation under way.

use std::time::Instant;

use packevolve_contract::evaluation::Measurement;
use packevolve_contract::protocol::{EvaluateRequest, TimeLimits};
use packevolve_contract::rejection::Rejection;
use packevolve_contract::stream::{Purpose, Stream, stream};
use rand::RngExt;

use crate::call::Call;
use crate::child::Child;
use crate::schedule::Schedule;
use crate::score::CaseInput;
use crate::shared::Outputs;

/// The state of one evaluation, shared by the files of this folder.
pub(super) struct Progress<'a> {
    pub request: &'a EvaluateRequest,
    /// First the children of the cases, by the [`Schedule`], then one for each rebalance policy. All are stopped between
    /// their calls. No child sees the same loads twice.
    pub children: Vec<Child>,
    pub schedule: Schedule,
    /// The index of the child that was called last.
    pub current: usize,
    pub measurement: Measurement,
    /// The answer of the first child to the first small call.
    pub first_outputs: Option<Outputs<2>>,
    /// The last call of the case that is repeated.
    pub last_call: Option<LastCall>,
    /// What the current child is doing, for the evidence.
    pub during: String,
    pub limits: TimeLimits,
    pub order: Stream,
    pub seeds: Stream,
    /// Keys the streams of repeated calls.
    pub repeats: u64,
    /// The program as the first child compiled it.
    pub code: Option<String>,
}

/// A call with its input and its answer.
pub(super) struct LastCall {
    pub case: usize,
    pub window: usize,
    pub call: Call,
    pub weights: Vec<f32>,
    pub outputs: Outputs<2>,
}

impl Progress<'_> {
    pub fn child(&mut self) -> &mut Child {
        &mut self.children[self.current]
    }

    /// The time that the candidate was charged so far, seconds. Void pairs cost time as well.
    pub fn charged_seconds(&self) -> f64 {
        let scored = self.measurement.cases.iter().flat_map(|case| &case.samples);
        let voided = self.measurement.calibration.voided.iter().map(|voided| &voided.sample);
        scored.chain(voided).map(|sample| sample.seconds).sum()
    }

    /// Rejects a program that has waited too long: waiting is not charged, but it ends.
    pub fn check_time(&self, started: Instant) -> Result<(), Rejection> {
        let limit_seconds = self.limits.evaluation_seconds;
        if started.elapsed().as_secs_f64() > limit_seconds {
            return Err(Rejection::Hang { limit_seconds });
        }
        Ok(())
    }

    /// Permutes the input of a call and draws its seed. A later `attempt` gets an order and a seed of its own and leaves
    /// those of all other calls unchanged.
    pub fn draw(&mut self, input: &CaseInput, case: usize, window: usize, attempt: u32) -> (CaseInput, u32) {
        if attempt == 0 {
            return (input.permuted(&mut self.order), self.seeds.random());
        }
        let number = (window as u64) << 32 | (case as u64) << 16 | u64::from(attempt);
        let mut again = stream(self.repeats, number, Purpose::Repeat);
        (input.permuted(&mut again), again.random())
    }
}
