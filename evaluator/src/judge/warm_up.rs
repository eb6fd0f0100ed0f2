//! Warm-up: starts the child of a case, and makes the calls that are verified but not scored.

use std::ops::Range;
use std::time::Duration;

use packevolve_contract::case::Case;
use packevolve_contract::evaluation::Compilation;
use packevolve_contract::protocol::{Limits, TimeLimits};
use packevolve_contract::rejection::Rejection;

use crate::call::{Call, Returned};
use crate::child::Child;
use crate::error::{Halt, JudgeError};
use crate::judge::progress::Progress;
use crate::judge::session::Judge;
use crate::judge::verify::check_placement;
use crate::nursery::NurseryError;

/// The weight of the item at an index.
type Weight = fn(usize) -> f32;

/// Small shapes on which packers often fail: name, rows, items, packs, weights. They are not scored, because any valid
/// packing of them says little. The very first call pays for the set-up of a fresh process.
const EDGE_CASES: [(&str, usize, usize, usize, Weight); 6] = [
    ("three items a pack", 3, 12, 4, |at| (at * 7 % 11) as f32),
    ("one item a pack", 2, 4, 4, |at| at as f32),
    ("two items a pack", 3, 8, 4, |at| (at * 5 % 7) as f32),
    ("one row of equal weights", 1, 12, 3, |_| 1.0),
    ("no load at all", 2, 12, 3, |_| 0.0),
    ("one giant", 2, 12, 3, |at| if at % 12 == 5 { 1e9 } else { 1.0 }),
];

/// The calls of a fast program take less than this, and on a busy machine at most ten times as long. For longer ones it matters little what the caches hold.
const FAST: Duration = Duration::from_millis(20);
/// How many calls of a case may still compile: the first may be traced, the second compiled.
pub(super) const COMPILING_CALLS: u64 = 3;
/// How many calls of a case load its kernels on a GPU.
const LOADING_CALLS: u64 = 2;
/// Part of torch's and CUDA's error.
const OUT_OF_MEMORY: &str = "out of memory";

impl Judge {
    /// Forks a child with `bytes` of memory for its calls, prepares its device and loads the program. It becomes the
    /// current child. Returns the seconds that the device took.
    pub(super) fn start_child(&mut self, progress: &mut Progress<'_>, bytes: u64) -> Result<f64, Halt> {
        let limits = Limits { call_seconds: Some(progress.limits.call_seconds), ..self.session.limits.clone() };
        let child = Child::fork(&mut self.nursery, progress.program.text, &progress.kernels, bytes, &limits)?;
        let (child, prepared) = progress.beside(child.prepared(&mut self.nursery))?;
        self.slot.look_at_memory()?;
        progress.current = progress.children.len();
        progress.children.push(child);
        "loading".clone_into(&mut progress.during);
        let required = self.required();
        progress.children[progress.current].load(progress.program.file_name, required, &mut progress.code)?;
        Ok(prepared.as_secs_f64())
    }

    /// Starts the child of a case unless it runs.
    pub(super) fn ensure_child(&mut self, progress: &mut Progress<'_>, case: usize) -> Result<(), Halt> {
        if progress.schedule.child(case) == progress.children.len() { self.start_case(progress, case) } else { Ok(()) }
    }

    /// Starts the child of a case and of the cases that share it, and warms it up. Only the first child of an evaluation
    /// gets all edge cases.
    pub(super) fn start_case(&mut self, progress: &mut Progress<'_>, case: usize) -> Result<(), Halt> {
        let shared = progress.schedule.cases_with(case);
        let cases = self.session.cases[shared.clone()].iter().map(|case| (case.rows, case.items));
        let small = EDGE_CASES.iter().map(|&(_, rows, items, ..)| (rows, items));
        let calls = cases.chain(small).map(|(rows, items)| Call { rows, items, packs: 1, seed: 0 });
        let bytes = calls.map(|call| call.layout().end()).max().unwrap_or(0);
        let context_seconds = self.start_child(progress, bytes)?;
        if let Some(gpu) = &mut progress.measurement.gpu {
            gpu.context_seconds.push(context_seconds);
        }
        let is_first = progress.measurement.first_call_seconds == 0.0;
        let edge_cases = if is_first { EDGE_CASES.len() } else { 1 };
        // A program that hangs on a small call needs no long limit.
        let call_seconds = progress.limits.call_seconds;
        progress.child().limits.call_seconds = Some(call_seconds.min(TimeLimits::LEAST.call_seconds));
        progress.edge_cases(edge_cases)?;
        progress.child().limits.call_seconds = Some(call_seconds);
        self.warm_up(progress, shared)?;
        progress.finish_compiling()?;
        self.keep_kernels(progress.program.is_of_blocks, &progress.kernels)?;
        progress.child().pause()?;
        self.slot.charge_memory(progress.child())
    }

    /// Replaces the child of a case by one that has seen no loads. The old child ends first, so that it cannot tell the
    /// new one what it saw.
    pub(super) fn replace_child(&mut self, progress: &mut Progress<'_>, case: usize) -> Result<(), Halt> {
        let place = progress.schedule.child(case);
        let old = progress.children.remove(place);
        progress.measurement.peak_memory_bytes = progress.measurement.peak_memory_bytes.max(old.peak_memory);
        old.end(&mut self.nursery, "", String::new())?;
        self.slot.look_at_memory()?;
        let started = self.start_case(progress, case);
        if let Err(Halt::Broken(_)) = started {
            return started;
        }
        let child = progress.children.pop().expect("BUG: the new child is the last one");
        progress.children.insert(place, child);
        progress.current = place;
        started
    }

    /// Makes a first call as large as the largest one to come, on weights that are in no window, so that no timed call
    /// pays for its set-up. On a GPU each case gets calls: other sizes need other kernels, which load at their first use.
    /// A child that may compile does so now for each of its cases, and is sealed.
    fn warm_up(&mut self, progress: &mut Progress<'_>, cases: Range<usize>) -> Result<(), Halt> {
        let cases = &self.session.cases[cases];
        if self.slot.is_on_gpu() && !progress.child().may_compile() {
            return cases.iter().try_for_each(|case| progress.unscored_calls(case, LOADING_CALLS));
        }
        if !progress.child().may_compile() {
            let largest = cases.iter().max_by_key(|case| case.rows * case.items);
            let Some(largest) = largest else { return Ok(()) };
            return progress.unscored_calls(largest, 1);
        }
        for case in cases {
            progress.unscored_calls(case, COMPILING_CALLS)?;
        }
        progress.child().seal(&mut self.nursery)
    }
}

impl Progress<'_> {
    /// The result of preparing another child. If the GPU has no memory for it, the children that run hold it, and all of
    /// them are the program's.
    pub(super) fn beside<T>(&self, prepared: Result<T, JudgeError>) -> Result<T, Halt> {
        match prepared {
            Err(JudgeError::Nursery(NurseryError::Unprepared(reason)))
                if reason.contains(OUT_OF_MEMORY) && !self.children.is_empty() =>
            {
                let limit_bytes = self.children[0].limits.memory_bytes;
                Err(Rejection::Memory { used_bytes: limit_bytes, limit_bytes }.into())
            }
            prepared => Ok(prepared?),
        }
    }

    /// The current child is warm: it is charged for what it compiles from here on.
    pub(super) fn finish_compiling(&mut self) -> Result<(), Halt> {
        let Self { children, current, kernels, measurement, .. } = self;
        if let Some((functions, seconds)) = children[*current].finish_compiling(kernels)? {
            measurement.compilation = Some(Compilation { functions, seconds, in_scored_calls: 0 });
        }
        Ok(())
    }

    fn edge_cases(&mut self, count: usize) -> Result<(), Halt> {
        for (name, rows, items, packs, weight) in EDGE_CASES.into_iter().take(count) {
            self.during = format!("a small call, {name}: {items}->{packs}");
            let call = Call { rows, items, packs, seed: 0 };
            let weights: Vec<f32> = (0..rows * items).map(weight).collect();
            let returned = self.unscored_call(call, &weights)?;
            if self.measurement.first_call_seconds == 0.0 {
                self.measurement.first_call_seconds = returned.time.as_secs_f64();
                self.measurement.first_call_wall_seconds = returned.wall.as_secs_f64();
            }
        }
        Ok(())
    }

    /// The last of them shows whether the program is fast, with what it left over from the call before.
    fn unscored_calls(&mut self, case: &Case, count: u64) -> Result<(), Halt> {
        let &Case { rows, items, packs, .. } = case;
        self.during = format!("a first call of {case}");
        for seed in 0..count {
            let call = Call { rows, items, packs, seed };
            let returned = self.unscored_call(call, &first_weights(rows * items, seed))?;
            self.is_fast = returned.time < FAST && returned.wall < 10 * FAST;
        }
        Ok(())
    }

    pub(super) fn unscored_call(&mut self, call: Call, weights: &[f32]) -> Result<Returned, Halt> {
        let returned = self.child().call(call, weights)?;
        self.measurement.trial_seconds += returned.time.as_secs_f64();
        check_placement(&returned.outputs, weights, call)?;
        Ok(returned)
    }
}

/// The weights of a first call, which are in no window.
pub(super) fn first_weights(count: usize, number: u64) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + number as usize) % 1009) as f32).collect()
}
