//! Sample: one scored call of a case on a window. The judge times every call that it scores, and scores every call that
//! it times.

use std::rc::Rc;

use packevolve_contract::evaluation::{ReportedTime, Sample, Voided};

use crate::call::Call;
use crate::error::Halt;
use crate::judge::progress::Progress;
use crate::judge::session::Judge;
use crate::judge::verify::check_placement;
use crate::score::CaseInput;

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

    /// Makes a call; `None` if it is void and is to be repeated. Before a pair is given up, the reference program is
    /// calibrated again: the calibration may be what was disturbed, or the slot has another speed now. Once too many pairs
    /// of a case were void, its later ones count, and the case is doubtful.
    pub(super) fn valid_sample(
        &mut self,
        progress: &mut Progress<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Option<Sample>, Halt> {
        let (sample, sides) = self.attempt(progress, wanted)?;
        if !self.slot.is_off(sides) {
            return Ok(Some(sample));
        }
        progress.measurement.calibration.again.extend(self.slot.settle()?);
        if !self.slot.is_off(sides) {
            return Ok(Some(sample));
        }
        let case = progress.measurement.cases[wanted.case].case.clone();
        let voided = &mut progress.measurement.calibration.voided;
        if voided.iter().filter(|voided| voided.case == case).count() < MOST_VOIDS {
            voided.push(Voided { case, sample });
            return Ok(None);
        }
        progress.doubt(wanted.case);
        Ok(Some(sample))
    }

    /// A call and its reference times on both sides.
    fn attempt(&mut self, progress: &mut Progress<'_>, wanted: Wanted<'_>) -> Result<(Sample, [f64; 2]), Halt> {
        let Wanted { case, window, input, attempt, around } = wanted;
        let (input, seed) = progress.draw(input, case, window, attempt);
        let weights = input.rows.to_f32();
        let of_case = &self.session.cases[case];
        let call = Call { rows: of_case.rows, items: of_case.items, packs: of_case.packs, seed: seed.into() };
        progress.during = format!("{of_case}, window {window}");
        progress.current = progress.schedule.child(case);
        let (returned, sides) = self.slot.pair(progress.child(), around, |child| child.call(call, &weights))?;
        check_placement(&returned.outputs, &weights, call)?;
        if let (Some(gpu), Some(seconds)) = (&mut progress.measurement.gpu, returned.reported_seconds) {
            gpu.reported.push(ReportedTime { case: progress.measurement.cases[case].case.clone(), window, seconds });
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
            seconds: returned.time.as_secs_f64(),
            wall_seconds: returned.wall.as_secs_f64(),
            reference_seconds: f64::midpoint(sides[0], sides[1]),
        };
        Ok((sample, sides))
    }

    pub(super) fn input(&mut self, case: usize, window: usize) -> Rc<CaseInput> {
        let Self { pool, session, inputs, .. } = self;
        let make =
            || CaseInput::of_case(&session.cases[case], &session.topology, pool.window(window), session.rng_seed);
        Rc::clone(inputs[window][case].get_or_insert_with(|| Rc::new(make())))
    }
}
