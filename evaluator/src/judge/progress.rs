//! Progress: the measurement of one program under way.

use std::time::{Duration, Instant};

use packevolve_contract::evaluation::{CaseMeasurement, Measurement};
use packevolve_contract::protocol::TimeLimits;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::stream::{Purpose, Stream, stream};
use rand::RngExt;

use crate::child::Child;
use crate::kernels::Kernels;
use crate::rows::Rows;
use crate::schedule::Schedule;
use crate::score::CaseInput;

/// A program to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program<'a> {
    pub text: &'a str,
    /// The file name that tracebacks show.
    pub file_name: &'a str,
    /// Whether it consists of building blocks alone, so that what it compiles may serve other programs.
    pub is_of_blocks: bool,
}

/// The first scored call of a case and its answer.
pub(super) struct Scored {
    pub rows: Rows,
    pub seed: u32,
    /// `pack_index` and `rank_in_pack`.
    pub answer: [Vec<i64>; 2],
}

/// The state of one measurement, shared by the files of this folder.
pub(super) struct Progress<'a> {
    pub program: Program<'a>,
    /// First the children of the cases, by the [`Schedule`], then one for each rebalance policy. All are stopped between
    /// their calls. No child sees the same loads twice.
    pub children: Vec<Child>,
    pub schedule: Schedule,
    /// The index of the child that was called last.
    pub current: usize,
    pub measurement: Measurement,
    /// By case.
    pub scored: Vec<Option<Scored>>,
    /// What the current child is doing, for the evidence.
    pub during: String,
    pub limits: TimeLimits,
    /// Time in which the judge started processes of its own, which no limit counts.
    pub aside: Duration,
    pub order: Stream,
    pub seeds: Stream,
    /// Keys the streams of repeated calls.
    pub repeats: u64,
    /// Whether its calls are so short that it matters what the caches hold.
    pub is_fast: bool,
    /// Whether the GPU once still worked for a child after its call.
    pub left_work: bool,
    /// The program as the first child compiled it.
    pub code: Option<String>,
    /// What the first child compiled while it warmed up.
    pub kernels: Kernels,
}

impl Progress<'_> {
    pub fn child(&mut self) -> &mut Child {
        &mut self.children[self.current]
    }

    /// The time that the program was charged so far in the cases that count, seconds. Void pairs cost time as well.
    pub fn charged_seconds(&self, counts: impl Fn(&str) -> bool) -> f64 {
        let of_case = |case: &CaseMeasurement| case.samples.iter().map(|sample| sample.seconds).sum::<f64>();
        let scored = self.measurement.cases.iter().filter(|case| counts(&case.case)).map(of_case);
        let voided = self.measurement.calibration.voided.iter().filter(|voided| counts(&voided.case));
        let of_chains = self.measurement.all_steps().map(|step| step.seconds);
        scored.chain(voided.map(|voided| voided.sample.seconds)).chain(of_chains).sum()
    }

    /// Rejects a program that has waited too long: waiting is not charged, but it ends.
    pub fn check_time(&self, started: Instant) -> Result<(), Rejection> {
        let limit_seconds = self.limits.evaluation_seconds;
        if started.elapsed().saturating_sub(self.aside).as_secs_f64() > limit_seconds {
            return Err(Rejection::Hang { limit_seconds });
        }
        Ok(())
    }

    /// Permutes the input of a call and draws its seed. A later `attempt` gets an order and a seed of its own and leaves
    /// those of all other calls unchanged; `number` is that of the call.
    pub fn draw(&mut self, input: &CaseInput, number: u64, attempt: u32) -> (CaseInput, u32) {
        if attempt == 0 {
            return (input.permuted(&mut self.order), self.seeds.random());
        }
        let mut again = stream(self.repeats, number, Purpose::Repeat);
        (input.permuted(&mut again), again.random())
    }

    /// Notes that a case, or a chain, was measured in a disturbed slot.
    pub fn doubt(&mut self, name: String) {
        let doubtful = &mut self.measurement.calibration.doubtful;
        if !doubtful.contains(&name) {
            doubtful.push(name);
        }
    }
}
