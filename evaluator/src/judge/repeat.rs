//! Repeat: calls that are made twice with equal input and seed. A program that answers differently is scored as usual,
//! and flagged as not deterministic.

use packevolve_contract::rejection::Rejection;

use crate::error::{Failure, Halt};

use crate::judge::progress::{LastCall, Progress};
use crate::judge::session::Judge;
use crate::judge::verify::is_same;

impl Judge {
    /// The case whose last call is repeated: the packing of replicas in the unit, if there is one.
    pub(super) fn repeated_case(&self) -> usize {
        let topology = &self.session.topology;
        self.session.cases.iter().rposition(|case| case.is_in_unit(topology)).unwrap_or(0)
    }

    /// Repeats the last call of one case, as the last call of its child, so that no later call could gain from loads that
    /// came twice. The repetition is neither timed nor scored. A child that raises now has answered differently.
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
                is_same(&again.outputs, &outputs)
            }
            Err(Halt::Rejected(Failure { rejection: Rejection::Exception { .. }, .. })) => false,
            Err(halt) => return Err(halt),
        };
        progress.child().pause();
        progress.measurement.note_repeat(is_same, || name);
        Ok(())
    }
}
