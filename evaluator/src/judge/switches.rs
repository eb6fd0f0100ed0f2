//! Switches: children that differ from the measured one in what no answer may depend on, and the search for the setting
//! that an answer depends on all the same.
//!
//! All settings differ at first. If an answer differs there, they are tried one by one, so that the evidence names the
//! one that matters. Vector instructions and hash seed need nurseries of their own
//! ([`elsewhere`](crate::judge::elsewhere)). On a GPU, whose context a nursery cannot hold, only the process and the seed
//! differ.

use std::time::Instant;

use packevolve_contract::inconsistency::Switch;
use packevolve_contract::protocol::Limits;

use crate::child::Child;
use crate::error::{Halt, JudgeError};
use crate::judge::elsewhere::variables;
use crate::judge::progress::Progress;
use crate::judge::session::Judge;
use crate::kernels::Kernels;
use crate::nursery::Nursery;

/// How many threads torch uses in the other child; everywhere else it uses one.
const THREADS: u32 = 2;
const ON_CPU: [Switch; 7] = [
    Switch::Seed,
    Switch::Threads,
    Switch::HashSeed,
    Switch::TorchVectors,
    Switch::NumpyVectors,
    Switch::NumbaBounds,
    Switch::NumbaCpu,
];
const ON_GPU: [Switch; 1] = [Switch::Seed];
/// The switches that are tried in children of the first nursery, in this order.
const OF_A_CHILD: [Switch; 3] = [Switch::Process, Switch::Seed, Switch::Threads];
/// The switches that need a nursery, in this order. What a program reads beyond an array may be anything, so that it can
/// differ by any of the others, too.
const OF_A_NURSERY: [Switch; 5] =
    [Switch::NumbaBounds, Switch::HashSeed, Switch::TorchVectors, Switch::NumpyVectors, Switch::NumbaCpu];
/// What makes no difference to a program that does not compile.
const OF_NUMBA: [Switch; 2] = [Switch::NumbaBounds, Switch::NumbaCpu];

/// Tells for each of the differing answers whether it also differs in a process that differs by one switch.
pub(super) type DiffersBy<'a> = dyn FnMut(&mut Judge, &mut Progress<'_>, Switch) -> Result<Vec<bool>, JudgeError> + 'a;

impl Judge {
    /// Starts the nursery of the other child, once a session. It takes seconds, which count for no program.
    pub(super) fn start_elsewhere(&mut self) -> Result<(), JudgeError> {
        self.nursery_with(self.switches())?;
        Ok(())
    }

    /// What differs in the other child; it is another process in any case.
    pub(super) fn switches(&self) -> &'static [Switch] {
        if self.slot.is_on_gpu() { &ON_GPU } else { &ON_CPU }
    }

    /// What each of `count` answers depends on that differ elsewhere.
    pub(super) fn find_switches(
        &mut self,
        progress: &mut Progress<'_>,
        count: usize,
        differs_by: &mut DiffersBy<'_>,
    ) -> Result<Vec<Switch>, JudgeError> {
        let mut found = vec![None; count];
        let all = self.switches();
        for switch in OF_A_CHILD.into_iter().filter(|switch| *switch == Switch::Process || all.contains(switch)) {
            if found.iter().all(Option::is_some) {
                break;
            }
            let differs = differs_by(self, progress, switch)?;
            // What every process draws for itself may be equal by chance in some answers.
            if switch == Switch::Process && differs.contains(&true) {
                return Ok(vec![switch; count]);
            }
            found.iter_mut().zip(differs).filter(|(_, differs)| *differs).for_each(|(found, _)| {
                found.get_or_insert(switch);
            });
        }
        let mut tried = Vec::new();
        let compiles = progress.kernels.may_compile;
        let matters = |switch: &Switch| all.contains(switch) && (compiles || !OF_NUMBA.contains(switch));
        for switch in OF_A_NURSERY.into_iter().filter(matters) {
            if found.iter().enumerate().all(|(answer, found)| found.is_some() || is_explained(&tried, answer)) {
                break;
            }
            tried.extend(self.differs_by_nursery(progress, switch, differs_by).map(|differs| (switch, differs)));
        }
        let explained = |(answer, found): (usize, Option<Switch>)| found.unwrap_or_else(|| explanation(&tried, answer));
        Ok(found.into_iter().enumerate().map(explained).collect())
    }

    /// Whether each answer differs by `switch`; `None` if there is no such nursery, which breaks nothing but this search.
    fn differs_by_nursery(
        &mut self,
        progress: &mut Progress<'_>,
        switch: Switch,
        differs_by: &mut DiffersBy<'_>,
    ) -> Option<Vec<bool>> {
        let variables = variables(&[switch], &self.nursery.interpreter.numpy_vectors);
        if variables.is_empty() {
            return None;
        }
        differs_by(self, progress, switch)
            .inspect_err(|error| {
                tracing::warn!(%error, ?variables, "no such nursery");
                self.elsewhere.drop_nursery(&variables);
            })
            .ok()
    }

    /// Has a child that differs by `switches` load the program and do some `work`, whose calls need that many `bytes`, and
    /// ends it. What it compiles is in `kernels`, or will be.
    pub(super) fn in_another_child(
        &mut self,
        progress: &mut Progress<'_>,
        kernels: &mut Kernels,
        bytes: u64,
        switches: &[Switch],
        work: impl FnOnce(&mut Child, &mut Nursery, &mut Kernels) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let limits = Limits { call_seconds: Some(progress.limits.call_seconds), ..self.session.limits.clone() };
        let (started, required) = (Instant::now(), self.required());
        let nursery = self.nursery_with(switches)?;
        progress.aside += started.elapsed();
        let mut child = Child::fork(nursery, progress.program.text, kernels, bytes, &limits)?;
        if switches.contains(&Switch::Threads) {
            child.torch_threads = THREADS;
        }
        let (mut child, _) = progress.beside(child.prepared(nursery))?;
        let worked = child
            .load(progress.program.file_name, required, &mut progress.code)
            .and_then(|()| work(&mut child, nursery, kernels));
        child.end(nursery, "", String::new())?;
        self.slot.look_at_memory()?;
        worked
    }
}

/// Whether no other nursery can change the explanation: the answer differs in one, and does not in another. A nursery takes
/// seconds, and so does compiling in it.
fn is_explained(tried: &[(Switch, Vec<bool>)], answer: usize) -> bool {
    [true, false].iter().all(|differs| tried.iter().any(|(_, answers)| answers[answer] == *differs))
}

/// What explains an answer that differs in the nurseries of these switches or not. If it differs in each of several, then
/// by what all of them have in common: another process, whose memory lies elsewhere.
fn explanation(tried: &[(Switch, Vec<bool>)], answer: usize) -> Switch {
    let differing: Vec<Switch> =
        tried.iter().filter(|(_, differs)| differs[answer]).map(|(switch, _)| *switch).collect();
    match differing[..] {
        [] => Switch::Several,
        [_, _, ..] if differing.len() == tried.len() => Switch::Process,
        [first, ..] => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_in_every_nursery_comes_from_none_of_their_settings() {
        let tried =
            |differs: [[bool; 2]; 4]| -> Vec<_> { OF_A_NURSERY.into_iter().zip(differs.map(Vec::from)).collect() };
        let found = |differs| [0, 1].map(|answer| explanation(&tried(differs), answer));
        assert_eq!(
            found([[true, false], [true, false], [true, true], [true, false]]),
            [Switch::Process, Switch::TorchVectors]
        );
        assert_eq!(
            found([[false, true], [false, true], [false, false], [false, false]]),
            [Switch::Several, Switch::NumbaBounds]
        );
    }

    #[test]
    fn an_answer_that_differs_in_one_nursery_and_not_in_another_is_explained() {
        let tried = [(Switch::NumbaBounds, vec![true, false]), (Switch::HashSeed, vec![false, false])];
        assert!(is_explained(&tried, 0) && !is_explained(&tried, 1) && !is_explained(&tried[..1], 0));
    }
}
