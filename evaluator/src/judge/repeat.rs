//! Repeat: calls that are made twice, to see whether equal input with an equal seed is answered equally. One that is
//! not is scored as ever, and flagged.

use packevolve_contract::rejection::Rejection;

use crate::shared::Outputs;

use crate::judge::evaluate::{Answered, Course, Judge, Stage};

/// Whether two placements are the same.
fn is_same(one: &Outputs, other: &Outputs) -> bool {
    (&one.pack_index, &one.rank_in_pack) == (&other.pack_index, &other.rank_in_pack)
}

impl Judge {
    /// The case whose last call is made again: what a rebalance does with the replicas of a node, or of all.
    pub(super) fn repeated_case(&self) -> usize {
        let topology = &self.session.topology;
        self.session.cases.iter().rposition(|case| case.is_in_unit(topology)).unwrap_or(0)
    }

    /// Makes the last call of one case again, as the last one of the child that answered it: neither timed nor scored,
    /// and nothing follows that could gain by loads which came twice. A child that raises now, having answered before,
    /// has answered differently.
    pub(super) fn repeat(&mut self, course: &mut Course) -> Stage<()> {
        let Some(Answered { case, window, call, weights, outputs }) = course.answered.take() else { return Ok(Ok(())) };
        let name = format!("{}, window {window}", self.session.cases[case]);
        course.during = format!("{name}, once more");
        course.called = course.schedule.child(case);
        let child = &mut course.children[course.called];
        child.unpause();
        let same = match child.call(call, &weights)? {
            Ok(again) => {
                course.measurement.trial_seconds += again.time.as_secs_f64();
                is_same(&again.outputs, &outputs)
            }
            Err(failure) if matches!(failure.rejection, Rejection::Exception { .. }) => false,
            Err(failure) => return Ok(Err(failure)),
        };
        child.pause();
        course.measurement.note_repeat(same, || name);
        Ok(Ok(()))
    }
}

impl Course {
    /// Every child answers the same small call first. Answers that differ tell of a program that is not deterministic;
    /// equal ones, of so small a call, tell nothing.
    pub(super) fn compare_first(&mut self, outputs: Outputs) {
        match &self.first_outputs {
            Some(first) if !is_same(first, &outputs) => {
                let during = self.during.clone();
                self.measurement.note_repeat(false, || during);
            }
            Some(_) => {}
            None => self.first_outputs = Some(outputs),
        }
    }
}
