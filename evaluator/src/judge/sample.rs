//! Sample: one scored call of a case on a window. The judge times every call that it scores, and scores every call that
//! it times.

use packevolve_contract::case::unit;
use packevolve_contract::evaluation::{Measurement, ReportedTime, Sample, Voided};
use packevolve_contract::rejection::Rejection;

use crate::call::Call;
use crate::error::Halt;
use crate::judge::progress::{LastCall, Progress};
use crate::judge::session::Judge;
use crate::judge::verify::check_placement;
use crate::score::CaseInput;
use crate::slot::is_void;

impl Judge {
    /// Takes a sample. A void pair is repeated by another child, because this one has seen the window: a new order alone
    /// does not make the loads new.
    pub(super) fn sample(&mut self, progress: &mut Progress<'_>, case: usize, window: usize) -> Result<Sample, Halt> {
        for attempt in 0.. {
            let sample = self.attempt(progress, case, window, attempt)?;
            let Measurement { calibration, cases, .. } = &mut progress.measurement;
            if !is_void(sample.reference_seconds, calibration) {
                return Ok(sample);
            }
            calibration.voided.push(Voided { case: cases[case].case.clone(), sample });
            self.replace_child(progress, case)?;
        }
        unreachable!("BUG: the number of void pairs is limited")
    }

    fn attempt(
        &mut self,
        progress: &mut Progress<'_>,
        case: usize,
        window: usize,
        attempt: u32,
    ) -> Result<Sample, Halt> {
        let (input, seed) = progress.draw(self.input(case, window), case, window, attempt);
        let weights = input.rows.to_f32();
        let of_case = &self.session.cases[case];
        let call = Call { rows: of_case.rows, items: of_case.items, packs: of_case.packs, seed: seed.into() };
        progress.during = format!("{of_case}, window {window}");
        progress.current = progress.schedule.child(case);
        let (returned, reference_seconds) = self.slot.pair(progress.child(), |child| child.call(call, &weights))?;
        check_placement(&returned.outputs, &weights, call)?;
        if let (Some(gpu), Some(seconds)) = (&mut progress.measurement.gpu, returned.reported_seconds) {
            gpu.reported.push(ReportedTime { case: progress.measurement.cases[case].case.clone(), window, seconds });
        }
        let [pack_index, _] = &returned.outputs.arrays;
        let score = input.score(pack_index);
        let next = input.next_loads(pack_index);
        let (seconds, wall_seconds) = (returned.time.as_secs_f64(), returned.wall.as_secs_f64());
        if case == self.repeated_case() {
            progress.last_call = Some(LastCall { case, window, call, weights, outputs: returned.outputs });
        }
        Ok(Sample {
            window,
            mean_load: score.mean_load,
            max_load: score.max_load,
            bound: score.bound,
            worst_row_gap: score.worst_row_gap,
            next,
            seconds,
            wall_seconds,
            reference_seconds,
        })
    }

    pub(super) fn input(&mut self, case: usize, window: usize) -> &CaseInput {
        let Self { pool, session, inputs, .. } = self;
        inputs[window][case].get_or_insert_with(|| {
            CaseInput::of_case(&session.cases[case], &session.topology, pool.window(window), session.rng_seed)
        })
    }

    /// The case whose last call is repeated: the packing of replicas in the unit, if there is one.
    fn repeated_case(&self) -> usize {
        let unit = unit(&self.session.topology);
        self.session.cases.iter().rposition(|case| unit.contains(case)).unwrap_or(0)
    }

    /// Repeats the last call of one case, as the last call of its child, so that no later call could gain from loads that
    /// came twice. The judge neither times nor scores the repetition. A program that answers differently, or raises, is
    /// flagged as not deterministic.
    pub(super) fn repeat(&mut self, progress: &mut Progress<'_>) -> Result<(), Halt> {
        let Some(LastCall { case, window, call, weights, outputs }) = progress.last_call.take() else { return Ok(()) };
        let name = format!("{}, window {window}", self.session.cases[case]);
        progress.during = format!("{name}, repeated");
        progress.current = progress.schedule.child(case);
        let child = progress.child();
        child.unpause();
        let is_same = match child.call(call, &weights) {
            Ok(again) => {
                progress.measurement.trial_seconds += again.time.as_secs_f64();
                again.outputs.arrays == outputs.arrays
            }
            Err(Halt::Rejected { rejection: Rejection::Exception { .. }, .. }) => false,
            Err(halt) => return Err(halt),
        };
        progress.child().pause();
        progress.measurement.note_repeat(is_same, || name);
        Ok(())
    }
}
