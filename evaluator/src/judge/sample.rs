//! Sample: one scored call of a case on a window. The judge times every call that it scores, and scores every call that
//! it times.

use std::rc::Rc;

use packevolve_contract::evaluation::{ReportedTime, Sample, Voided};
use packevolve_contract::rejection::Rejection;
use packevolve_contract::stream::{Purpose, stream};
use rand::RngExt;

use crate::call::Call;
use crate::error::Halt;
use crate::judge::progress::{Progress, Scored};
use crate::judge::session::Judge;
use crate::judge::verify::check_placement;
use crate::score::CaseInput;
use crate::window::PoolWindow;

/// An untimed call of an honest program takes at most this many times as long as the timed call after it.
const MOST_COLD: f64 = 4.0;
/// How many calls at most come before a timed call.
const MOST_WARM_UPS: usize = 2;
/// How many pairs of a case may be repeated.
pub(super) const MOST_VOIDS: usize = 4;

/// A call on a window of the run.
#[derive(Clone, Copy)]
pub(super) struct WindowCall {
    pub case: usize,
    pub window: usize,
    pub first_attempt: u32,
    pub around: usize,
}

/// A call to make: its case, its loads and how often it was made before.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub case: usize,
    pub window: usize,
    pub input: &'a CaseInput,
    pub attempt: u32,
    /// How many calls of the reference program are timed on either side.
    pub around: usize,
}

impl Wanted<'_> {
    /// Distinct for all calls of a measurement.
    pub fn number(&self) -> u64 {
        (self.window as u64) << 32 | (self.case as u64) << 16 | u64::from(self.attempt)
    }
}

impl Judge {
    /// Takes a sample of a window of the run. A void pair is repeated by another child, because this one has seen the
    /// window: a new order alone does not make the loads new.
    pub(super) fn sample(&mut self, progress: &mut Progress<'_>, call: WindowCall) -> Result<Sample, Halt> {
        let WindowCall { case, window, first_attempt, around } = call;
        let input = self.input(case, window);
        for attempt in first_attempt.. {
            let wanted = Wanted { case, window, input: &input, attempt, around };
            if let Some(sample) = self.valid_sample(progress, wanted)? {
                return Ok(sample);
            }
            self.replace_child(progress, case)?;
        }
        unreachable!("BUG: the number of void pairs is limited")
    }

    /// Makes a call; `None` if it is void and must be repeated. Once too many pairs of a case were void, its later ones
    /// count, and the case is doubtful.
    pub(super) fn valid_sample(
        &mut self,
        progress: &mut Progress<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Option<Sample>, Halt> {
        let (sample, sides) = self.attempt(progress, wanted)?;
        if !self.is_disturbed(progress, sides)? {
            return Ok(Some(sample));
        }
        let case = progress.measurement.cases[wanted.case].case.clone();
        let voided = &mut progress.measurement.calibration.voided;
        if voided.iter().filter(|voided| voided.case == case).count() < MOST_VOIDS {
            voided.push(Voided { case, sample });
            return Ok(None);
        }
        progress.doubt(case);
        Ok(Some(sample))
    }

    /// Whether the slot was disturbed while the last pair, which had these reference times, was measured. Before a pair is
    /// given up, the reference program is calibrated again: the calibration may be what was disturbed, or the slot has
    /// another speed now.
    ///
    /// # Errors
    /// The program has left work on the device for the second time.
    pub(super) fn is_disturbed(&mut self, progress: &mut Progress<'_>, sides: [f64; 2]) -> Result<bool, Halt> {
        let left_work = self.slot.left_work();
        if left_work.is_none() && !self.slot.is_off(sides) {
            return Ok(false);
        }
        progress.measurement.calibration.again.extend(self.slot.settle()?);
        if left_work.is_none() && !self.slot.is_off(sides) {
            return Ok(false);
        }
        // Once may be the machine's fault.
        if let (Some(seconds), true) = (left_work, progress.left_work) {
            return Err(Rejection::LeftWork { seconds }.into());
        }
        progress.left_work |= left_work.is_some();
        Ok(true)
    }

    /// A call and its reference times on both sides.
    fn attempt(&mut self, progress: &mut Progress<'_>, wanted: Wanted<'_>) -> Result<(Sample, [f64; 2]), Halt> {
        let Wanted { case, window, input, attempt, around } = wanted;
        let (input, seed) = progress.draw(input, wanted.number(), attempt);
        let weights = input.rows.to_f32();
        let of_case = &self.session.cases[case];
        let call = Call { rows: of_case.rows, items: of_case.items, packs: of_case.packs, seed: seed.into() };
        progress.during = format!("{of_case}, window {window}");
        progress.current = progress.schedule.child(case);
        let warm_ups = self.warm_ups(progress, case, wanted.number());
        let mut untimed = Vec::new();
        let (returned, sides) = self.slot.pair(progress.child(), around, |child| {
            for (seed, weights) in &warm_ups {
                untimed.push(child.call(Call { seed: *seed, ..call }, weights)?.time.as_secs_f64());
            }
            child.call(call, &weights)
        })?;
        progress.measurement.trial_seconds += untimed.iter().sum::<f64>();
        let seconds = charged(returned.time.as_secs_f64(), &untimed);
        check_placement(&returned.outputs, &weights, call)?;
        if let (Some(gpu), Some(seconds)) = (&mut progress.measurement.gpu, returned.reported_seconds) {
            gpu.reported.push(ReportedTime { case: progress.measurement.cases[case].case.clone(), window, seconds });
        }
        if let Some(compilation) = &mut progress.measurement.compilation {
            compilation.in_scored_calls += u32::from(returned.compiled > 0);
        }
        if progress.measurement.cases[case].samples.is_empty() {
            progress.scored[case] =
                Some(Scored { rows: input.rows.clone(), seed, answer: returned.outputs.arrays.clone() });
        }
        let [pack_index, _] = &returned.outputs.arrays;
        let score = input.score(pack_index);
        let sample = Sample {
            window,
            mean_load: score.mean_load,
            max_load: score.max_load,
            bound: score.bound,
            worst_row_gap: score.worst_row_gap,
            next: input.next_loads(pack_index),
            seconds,
            wall_seconds: returned.wall.as_secs_f64(),
            reference_seconds: f64::midpoint(sides[0], sides[1]),
        };
        Ok((sample, sides))
    }

    /// The inputs, with seeds, of the calls that a fast program makes right before a timed one.
    ///
    /// While a program was stopped, others used the caches: the first call after that takes 0.1 ms more on a busy machine.
    /// The reference program makes an untimed call first, too. The number of calls varies and their loads are like those
    /// of any window. A program may still find out which calls are not timed, so it is [`charged`] for what it does in
    /// them beyond a call.
    fn warm_ups(&mut self, progress: &Progress<'_>, case: usize, number: u64) -> Vec<(u64, Vec<f32>)> {
        if !progress.is_fast {
            return Vec::new();
        }
        let mut rng = stream(progress.repeats, number, Purpose::WarmUp);
        let input = self.warm_up_input(case);
        let calls = rng.random_range(1..=MOST_WARM_UPS);
        let mut call = || {
            let mut weights = input.permuted(&mut rng).rows.to_f32();
            weights.iter_mut().for_each(|weight| *weight = (*weight * rng.random_range(0.9..1.1)).round());
            (rng.random::<u32>().into(), weights)
        };
        (0..calls).map(|_| call()).collect()
    }

    /// The input of a case on a window of its own.
    fn warm_up_input(&mut self, case: usize) -> Rc<CaseInput> {
        let Self { pool, session, warm_up_inputs, .. } = self;
        let seed = session.loads_seed;
        let make = || {
            let window = pool.unscored_window(&mut stream(seed, case as u64, Purpose::WarmUp));
            let window = PoolWindow { number: case, now: &window, next: None };
            Rc::new(CaseInput::of_case(&session.cases[case], &session.topology, window, seed))
        };
        Rc::clone(warm_up_inputs[case].get_or_insert_with(make))
    }

    pub(super) fn input(&mut self, case: usize, window: usize) -> Rc<CaseInput> {
        let Self { pool, session, inputs, .. } = self;
        let make =
            || CaseInput::of_case(&session.cases[case], &session.topology, pool.window(window), session.rng_seed);
        Rc::clone(inputs[window][case].get_or_insert_with(|| Rc::new(make())))
    }
}

/// What a program is charged for a call of this many seconds after `untimed` ones: more if it did more in those than a
/// call with cold caches takes.
fn charged(seconds: f64, untimed: &[f64]) -> f64 {
    seconds + untimed.iter().map(|call| (call - MOST_COLD * seconds).max(0.0)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_untimed_call_takes_beyond_cold_caches_is_charged() {
        assert_eq!(charged(1.0, &[]), 1.0);
        assert_eq!(charged(1.0, &[2.0, 4.0]), 1.0);
        assert_eq!(charged(1.0, &[10.0, 1.0]), 7.0);
    }
}
