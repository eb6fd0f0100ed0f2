//! Traffic: the windows on which plans are made, and those that the plans serve.

use packevolve_loads::recording::{Recording, Span};
use packevolve_loads::window::Window;
use schemars::JsonSchema;
use serde::Serialize;

/// The most windows on which plans are made; of more, some are taken evenly.
pub const MOST_PLANS: usize = 6;

/// Recorded windows, as plans meet them.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Windows on which plans are made, at least one.
    pub planned: Vec<Window>,
    /// For each of them the windows that its plan serves; empty if there is none.
    pub served: Vec<Vec<Window>>,
    /// How many windows were recorded.
    pub windows: usize,
    pub steps: Steps,
}

/// What a window sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "window", content = "steps", rename_all = "kebab-case")]
pub enum Steps {
    /// A forward pass of the model each.
    Single,
    /// Several forward passes, of the fewest and of the most of a window.
    Several(usize, usize),
    /// The files do not tell.
    Unknown,
}

impl Traffic {
    /// Each window but the last is planned on, and the one after it is served.
    pub fn in_order(recording: &Recording) -> Self {
        let windows = &recording.windows;
        let places: Vec<usize> = evenly(windows.len().saturating_sub(1).max(1));
        Self {
            planned: places.iter().map(|&at| windows[at].clone()).collect(),
            served: places.iter().map(|&at| windows.get(at + 1).cloned().into_iter().collect()).collect(),
            windows: windows.len(),
            steps: Steps::of(&recording.spans),
        }
    }

    /// One plan is made, on the sum of all windows of `recording`, as engines do it; it serves all windows of `next`, which
    /// has as many layers and experts.
    pub fn then(recording: &Recording, next: &Recording) -> Self {
        let spans: Vec<Span> = recording.spans.iter().chain(&next.spans).cloned().collect();
        Self {
            planned: vec![sum(&recording.windows)],
            served: vec![next.windows.clone()],
            windows: recording.windows.len() + next.windows.len(),
            steps: Steps::of(&spans),
        }
    }

    /// How often a plan made on a window serves another one.
    pub fn pairs(&self) -> usize {
        self.served.iter().map(Vec::len).sum()
    }
}

/// At most [`MOST_PLANS`] of `count` places, the first and the last among them.
fn evenly(count: usize) -> Vec<usize> {
    let taken = count.min(MOST_PLANS);
    (0..taken).map(|number| if taken == 1 { 0 } else { number * (count - 1) / (taken - 1) }).collect()
}

/// The sum of windows of one shape, at least one.
fn sum(windows: &[Window]) -> Window {
    let mut counts = windows[0].counts.clone();
    for window in &windows[1..] {
        counts.iter_mut().zip(&window.counts).for_each(|(sum, load)| *sum += load);
    }
    Window::new(windows[0].experts, counts)
}

impl Steps {
    fn of(spans: &[Span]) -> Self {
        let steps = || spans.iter().map(|span| span.steps);
        let (least, most) = (steps().min().unwrap_or(1), steps().max().unwrap_or(1));
        match (least, most) {
            (1, 1) if spans.iter().all(|span| span.passes.is_some()) => Self::Single,
            (1, 1) => Self::Unknown,
            _ => Self::Several(least, most),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn recording(loads: &[f64], steps: usize) -> Recording {
        let span = Span { file: PathBuf::from("a"), steps, passes: None, written: None };
        Recording {
            windows: loads.iter().map(|load| Window::new(2, vec![*load, 1.0])).collect(),
            spans: vec![span; loads.len()],
            layer_ids: None,
            dense_layers: Vec::new(),
            replicas: None,
            gpus: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_plan_serves_the_window_after_its_own() {
        let traffic = Traffic::in_order(&recording(&[1.0, 2.0, 3.0], 1));
        let first = |windows: &[Window]| windows.iter().map(|window| window.counts[0]).collect::<Vec<_>>();
        assert_eq!(first(&traffic.planned), [1.0, 2.0]);
        assert_eq!(first(&traffic.served.concat()), [2.0, 3.0]);
        assert_eq!((traffic.pairs(), traffic.windows, traffic.steps), (2, 3, Steps::Unknown));
        let single = Traffic::in_order(&recording(&[1.0], 1));
        assert_eq!((single.planned.len(), single.pairs()), (1, 0));
    }

    #[test]
    fn of_many_windows_some_are_planned_on_evenly() {
        let loads: Vec<f64> = (0..100).map(f64::from).collect();
        let traffic = Traffic::in_order(&recording(&loads, 1));
        assert_eq!(traffic.planned.len(), MOST_PLANS);
        assert_eq!(traffic.planned[0].counts[0], 0.0);
        assert_eq!(traffic.served[MOST_PLANS - 1][0].counts[0], 99.0);
    }

    #[test]
    fn a_plan_of_the_sum_serves_all_next_windows() {
        let traffic = Traffic::then(&recording(&[1.0, 2.0], 100), &recording(&[5.0, 7.0], 1));
        assert_eq!(traffic.planned, [Window::new(2, vec![3.0, 2.0])]);
        assert_eq!((traffic.served[0].len(), traffic.windows, traffic.steps), (2, 4, Steps::Several(1, 100)));
    }
}
