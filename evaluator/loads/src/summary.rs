//! Summary: what the windows of a recording look like, in a few figures each.

use crate::recording::Recording;
use crate::window::Window;

/// A first window with less than this part of the usual tokens was recorded while the engine warmed up.
const FEW_TOKENS: f64 = 0.25;
/// So was one that is this many times as far from the average window as is usual.
const FAR: f64 = 2.0;
/// Distances below this are those of equal windows.
const NEAR: f64 = 0.01;
/// Fewer windows do not tell what is usual.
const ENOUGH: usize = 4;

#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Loads of a layer, the mean over layers: tokens times the experts that each is routed to.
    pub tokens: f64,
    /// Gini coefficient of the loads of a layer's experts, the mean over layers with load. 0: all experts have the same.
    pub gini: f64,
    pub heaviest: Heaviest,
    /// The part of the tokens that went to other experts than in the window before, the mean over layers.
    pub drift: Option<f64>,
    /// It is among the first windows of its file, and looks unlike the others there.
    pub is_warm_up: bool,
}

/// The expert with the largest part of its layer's loads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heaviest {
    /// Counts the rows of the window.
    pub layer: usize,
    pub expert: usize,
    /// Its load over the mean of its layer.
    pub times_mean: f64,
}

/// A summary of each window.
pub fn summaries(recording: &Recording) -> Vec<Summary> {
    let mut summaries = figures(&recording.windows);
    let mut from = 0;
    for file in recording.spans.chunk_by(|one, next| one.file == next.file) {
        let of_file = from..from + file.len();
        let warm_up = warm_up(&recording.windows[of_file.clone()], &summaries[of_file]);
        summaries[from..from + warm_up].iter_mut().for_each(|summary| summary.is_warm_up = true);
        from += file.len();
    }
    summaries
}

fn figures(windows: &[Window]) -> Vec<Summary> {
    let mut summaries: Vec<Summary> = Vec::with_capacity(windows.len());
    for (number, window) in windows.iter().enumerate() {
        summaries.push(Summary {
            tokens: window.counts.iter().sum::<f64>() / window.layers as f64,
            gini: mean(layers(window).map(gini)),
            heaviest: heaviest(window),
            drift: number.checked_sub(1).map(|before| distance(&windows[before], window)),
            is_warm_up: false,
        });
    }
    summaries
}

/// How many windows at the beginning look unlike the others.
fn warm_up(windows: &[Window], summaries: &[Summary]) -> usize {
    if windows.len() < ENOUGH {
        return 0;
    }
    let average = average(windows);
    let distances: Vec<f64> = windows.iter().map(|window| distance(&average, window)).collect();
    let usual_distance = median(&distances).max(NEAR);
    let usual_tokens = median(&summaries.iter().map(|summary| summary.tokens).collect::<Vec<_>>());
    let is_unlike =
        |at: &usize| summaries[*at].tokens < FEW_TOKENS * usual_tokens || distances[*at] > FAR * usual_distance;
    (0..windows.len() / 2).take_while(is_unlike).count()
}

/// Each layer's shares, averaged.
fn average(windows: &[Window]) -> Window {
    let mut sum = vec![0.0; windows[0].counts.len()];
    for window in windows {
        let shares = (0..window.layers).flat_map(|layer| shares(window.layer(layer)));
        sum.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share);
    }
    Window::new(windows[0].experts, sum)
}

/// Layers with load.
fn layers(window: &Window) -> impl Iterator<Item = &[f64]> {
    (0..window.layers).filter(|layer| !window.is_zero(*layer)).map(|layer| window.layer(layer))
}

fn gini(loads: &[f64]) -> f64 {
    let mut sorted = loads.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (count, sum) = (sorted.len() as f64, sorted.iter().sum::<f64>());
    let weighted: f64 = sorted.iter().zip(1..).map(|(load, rank)| f64::from(rank) * load).sum();
    2.0 * weighted / (count * sum) - (count + 1.0) / count
}

fn heaviest(window: &Window) -> Heaviest {
    let mut heaviest = Heaviest { layer: 0, expert: 0, times_mean: 0.0 };
    for layer in (0..window.layers).filter(|layer| !window.is_zero(*layer)) {
        for (expert, share) in shares(window.layer(layer)).enumerate() {
            let times_mean = share * window.experts as f64;
            if times_mean > heaviest.times_mean {
                heaviest = Heaviest { layer, expert, times_mean };
            }
        }
    }
    heaviest
}

/// Half the sum of the differences of shares, the mean over layers.
fn distance(one: &Window, other: &Window) -> f64 {
    let of_layer = |layer: usize| {
        let pairs = shares(one.layer(layer)).zip(shares(other.layer(layer)));
        pairs.map(|(one, other)| (one - other).abs()).sum::<f64>() / 2.0
    };
    mean((0..one.layers).map(of_layer))
}

fn shares(loads: &[f64]) -> impl Iterator<Item = f64> {
    let sum: f64 = loads.iter().sum();
    loads.iter().map(move |load| if sum > 0.0 { load / sum } else { 0.0 })
}

fn mean(figures: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = figures.fold((0.0, 0.0), |(sum, count), figure| (sum + figure, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(counts: &[f64]) -> Window {
        Window::new(4, counts.to_vec())
    }

    #[test]
    fn figures_follow_from_the_loads() {
        let windows =
            [window(&[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 8.0]), window(&[2.0, 0.0, 1.0, 1.0, 0.0, 0.0, 8.0, 0.0])];
        let summaries = figures(&windows);
        assert_eq!(summaries[0].tokens, 6.0);
        assert_eq!(summaries[0].gini, (0.0 + 0.75) / 2.0);
        assert_eq!(summaries[0].heaviest, Heaviest { layer: 1, expert: 3, times_mean: 4.0 });
        assert_eq!(summaries[0].drift, None);
        assert_eq!(summaries[1].drift, Some((0.25 + 1.0) / 2.0));
        let nothing = figures(&[window(&[0.0; 4])]);
        assert_eq!((nothing[0].gini, nothing[0].tokens), (0.0, 0.0));
    }

    #[test]
    fn first_windows_that_are_unlike_the_others_are_a_warm_up() {
        let usual = window(&[100.0, 200.0, 300.0, 400.0]);
        let length = |first: &[Window]| {
            let all = [first.to_vec(), vec![usual.clone(); 6]].concat();
            warm_up(&all, &figures(&all))
        };
        assert_eq!(length(&[]), 0);
        assert_eq!(length(&[window(&[10.0, 20.0, 30.0, 40.0])]), 1);
        assert_eq!(length(&[window(&[1000.0, 0.0, 0.0, 0.0]), window(&[1.0, 2.0, 3.0, 4.0])]), 2);
        assert_eq!(length(&[usual.clone(), window(&[1000.0, 0.0, 0.0, 0.0])]), 0);
    }
}
