//! Made-up windows: synthetic loads with the statistics of real ones (FIELD.md section 7), and windows derived from
//! other windows. Equal keys give equal windows.

use packevolve_contract::stream::{Purpose, Stream, stream};
use packevolve_contract::topology::Topology;
use packevolve_loads::window::Window;
use rand::RngExt;
use rand_distr::{Binomial, Distribution, StandardNormal};

/// Standard deviation of the log loads of a layer, over all its experts.
///
/// It includes the spread between groups: if that were added, made-up layers would be more uneven than measured ones
/// (Gini 0.45 instead of 0.33-0.44).
const SPREAD: (f64, f64) = (0.5, 1.0);

/// Standard deviation of the log factors between the groups of a layer; less than `SPREAD.0`.
const GROUP_SPREAD: (f64, f64) = (0.3, 0.45);

/// The mild right tail: z becomes z + TAIL (z^2 - 1), a skewness of about 6 TAIL.
const TAIL: f64 = 0.05;

/// The highest measured ratio of the heaviest expert to the mean of its layer. A layer above it is drawn again, because
/// a normal tail sometimes reaches further than any real router.
const HIGHEST_PEAK: f64 = 13.7;

/// Tokens of a window: enough that counting noise (an rms log ratio of 0.01 to 0.02) does not hide the smallest drift.
const TOKENS: (f64, f64) = (262_144.0, 1_048_576.0);

/// The number of experts of each token.
const TOP: usize = 8;

/// Rms log ratio of a derived window to its base: from the same workload to a nearby one.
const DRIFT: (f64, f64) = (0.02, 0.19);

/// Rms log ratio of two windows in a row of a chain: while the workload stays the same, when it becomes a nearby one, and
/// when it changes (from prefill to decode).
const SAME: f64 = 0.02;
const NEARBY: (f64, f64) = (0.07, 0.19);
const CHANGE: f64 = 0.47;
/// How often a step of a chain leads to a nearby workload.
const NEARBY_STEPS: f64 = 0.3;

/// A series of windows that drift around one base, as those of one deployment do. The rms log ratio of any two windows
/// is within [`DRIFT`]; in a random walk it would grow with their distance.
#[derive(Clone, Debug)]
pub struct Series {
    rng_seed: u64,
    experts: usize,
    base: Vec<Vec<f64>>,
}

impl Series {
    /// The series keyed by `rng_seed`, for the layers, experts and groups of `topology`.
    pub fn new(topology: &Topology, rng_seed: u64) -> Self {
        let mut rng = stream(rng_seed, 0, Purpose::Loads);
        let base = (0..topology.layers).map(|_| base_layer(topology, &mut rng)).collect();
        Self { rng_seed, experts: topology.experts, base }
    }

    /// Window `number` of the series. It depends on the key and the number alone.
    pub fn window(&self, number: usize) -> Window {
        let mut rng = stream(self.rng_seed, number as u64 + 1, Purpose::Loads);
        let tokens = TOKENS.0 * (TOKENS.1 / TOKENS.0).powf(rng.random());
        // Two windows at this distance from the base are a factor sqrt 2 farther from each other.
        let drift = between(DRIFT, &mut rng) / f64::sqrt(2.0);
        let routed = tokens as u64 * TOP.min(self.experts) as u64;
        let counts = self
            .base
            .iter()
            .flat_map(|layer| multinomial(routed, &drifted(layer, drift, &mut rng), &mut rng))
            .collect();
        Window::new(self.experts, counts)
    }
}

impl Series {
    /// Consecutive windows, in which loads wander from the base, and change once, without becoming more uneven.
    pub fn chain(&self, windows: usize, rng: &mut Stream) -> Vec<Window> {
        let mut layers = self.base.clone();
        let change = rng.random_range(1..windows.max(2));
        let mut chain = Vec::with_capacity(windows);
        for number in 0..windows {
            let distance = match number {
                _ if number == change => CHANGE,
                _ if rng.random::<f64>() < NEARBY_STEPS => between(NEARBY, rng),
                _ => SAME,
            };
            layers.iter_mut().for_each(|layer| wander(layer, distance, rng));
            let tokens = TOKENS.0 * (TOKENS.1 / TOKENS.0).powf(rng.random());
            let routed = tokens as u64 * TOP.min(self.experts) as u64;
            let counts = layers.iter().flat_map(|layer| multinomial(routed, layer, rng)).collect();
            chain.push(Window::new(self.experts, counts));
        }
        chain
    }
}

/// Moves the loads of a layer by an rms log ratio of `distance`, and a little back to their mean, so that their spread
/// stays what it is.
fn wander(layer: &mut [f64], distance: f64, rng: &mut Stream) {
    let count = layer.len() as f64;
    let mean = layer.iter().map(|load| load.ln()).sum::<f64>() / count;
    let variance = layer.iter().map(|load| (load.ln() - mean).powi(2)).sum::<f64>() / count;
    // The ratio of x and kept x + sqrt(1 - kept²) spread z has the variance 2 spread² (1 - kept).
    let kept = (1.0 - distance.powi(2) / (2.0 * variance.max(distance.powi(2)))).max(0.0);
    let fresh = (variance * (1.0 - kept * kept)).sqrt();
    layer.iter_mut().for_each(|load| *load = (mean + kept * (load.ln() - mean) + fresh * normal(rng)).exp());
}

/// Derives a window: the loads drift by a drawn amount and are counted again. Layers keep their totals. Loads that are
/// not whole numbers (averages, shares) only drift.
pub fn derived(window: &Window, rng: &mut Stream) -> Window {
    let drift = between(DRIFT, rng);
    let counts = (0..window.layers).flat_map(|layer| derived_layer(window.layer(layer), drift, rng)).collect();
    Window::new(window.experts, counts)
}

fn derived_layer(loads: &[f64], drift: f64, rng: &mut Stream) -> Vec<f64> {
    let total: f64 = loads.iter().sum();
    let shares = drifted(loads, drift, rng);
    if loads.iter().all(|load| load.fract() == 0.0) {
        return multinomial(total as u64, &shares, rng);
    }
    let rescale = total / shares.iter().sum::<f64>();
    shares.iter().map(|share| share * rescale).collect()
}

/// One layer of a base, as shares of any scale.
fn base_layer(topology: &Topology, rng: &mut Stream) -> Vec<f64> {
    loop {
        let layer = any_layer(topology.experts, topology.even_groups(), rng);
        if peak(&layer) <= HIGHEST_PEAK {
            return layer;
        }
    }
}

fn any_layer(experts: usize, groups: usize, rng: &mut Stream) -> Vec<f64> {
    let spread = between(SPREAD, rng);
    let group_spread = if groups > 1 { between(GROUP_SPREAD, rng) } else { 0.0 };
    let own_spread = (spread.powi(2) - group_spread.powi(2)).sqrt();
    let mut layer = Vec::with_capacity(experts);
    for _ in 0..groups {
        let of_group = group_spread * normal(rng);
        layer.extend((0..experts / groups).map(|_| (of_group + own_spread * right_tailed(normal(rng))).exp()));
    }
    layer
}

/// Skews a standard normal value; mean 0 and variance 1 are preserved.
fn right_tailed(z: f64) -> f64 {
    (z + TAIL * (z * z - 1.0)) / (1.0 + 2.0 * TAIL * TAIL).sqrt()
}

/// The heaviest load over the mean.
fn peak(layer: &[f64]) -> f64 {
    layer.iter().copied().fold(0.0, f64::max) * layer.len() as f64 / layer.iter().sum::<f64>()
}

fn drifted(loads: &[f64], drift: f64, rng: &mut Stream) -> Vec<f64> {
    loads.iter().map(|load| load * (drift * normal(rng)).exp()).collect()
}

/// Distributes `total` tokens by `shares`, with one binomial draw for each expert.
fn multinomial(total: u64, shares: &[f64], rng: &mut Stream) -> Vec<f64> {
    // Summed from the end, so that the last share above 0 equals the remaining sum exactly and takes the rest.
    let mut left_over = vec![0.0; shares.len()];
    let mut sum = 0.0;
    for (slot, share) in left_over.iter_mut().zip(shares).rev() {
        sum += share;
        *slot = sum;
    }
    let mut left = total;
    let mut draw = |(&share, &rest): (&f64, &f64)| {
        if share == 0.0 || left == 0 {
            return 0.0;
        }
        let count = Binomial::new(left, share / rest).expect("BUG: a share of the rest is a probability").sample(rng);
        left -= count;
        count as f64
    };
    shares.iter().zip(&left_over).map(&mut draw).collect()
}

fn between((low, high): (f64, f64), rng: &mut Stream) -> f64 {
    rng.random_range(low..=high)
}

fn normal(rng: &mut Stream) -> f64 {
    StandardNormal.sample(rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gini(layer: &[f64]) -> f64 {
        let mut sorted = layer.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len() as f64;
        let ranked: f64 = sorted.iter().zip(1..).map(|(load, rank)| load * f64::from(rank)).sum();
        2.0 * ranked / (n * sorted.iter().sum::<f64>()) - (n + 1.0) / n
    }

    fn deviation(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    /// Rms over all experts of the log ratio of two windows, the totals of the layers divided out.
    fn rms_log_ratio(one: &Window, other: &Window) -> f64 {
        let of_layer = |layer| {
            let pairs = one.layer(layer).iter().zip(other.layer(layer));
            deviation(&pairs.map(|(a, b)| (a / b).ln()).collect::<Vec<_>>()).powi(2)
        };
        ((0..one.layers).map(of_layer).sum::<f64>() / one.layers as f64).sqrt()
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    fn of_layers(window: &Window, statistic: fn(&[f64]) -> f64) -> Vec<f64> {
        (0..window.layers).map(|layer| statistic(window.layer(layer))).collect()
    }

    fn group_spread(layer: &[f64]) -> f64 {
        deviation(&layer.chunks(32).map(|group| group.iter().sum::<f64>().ln()).collect::<Vec<_>>())
    }

    #[test]
    fn made_up_layers_are_as_uneven_as_the_real_ones() {
        for rng_seed in 0..12 {
            let window = Series::new(&Topology::deepseek_v3(), rng_seed).window(0);
            let peaks = of_layers(&window, peak);
            assert!(peaks.iter().all(|peak| (1.9..18.0).contains(peak)), "seed {rng_seed}: {peaks:?}");
            let inside = peaks.iter().filter(|peak| (2.6..=13.7).contains(*peak)).count();
            assert!(inside >= 54, "seed {rng_seed}: {inside} of 58 layers in the measured range");
            let peak = median(peaks);
            assert!((5.0..=8.0).contains(&peak), "seed {rng_seed}: median peak {peak}");
            let gini = median(of_layers(&window, gini));
            assert!((0.33..=0.44).contains(&gini), "seed {rng_seed}: median Gini {gini}");
            // Measured: 0.27 to 0.37 by window.
            let spread = of_layers(&window, group_spread).iter().sum::<f64>() / 58.0;
            assert!((0.27..=0.45).contains(&spread), "seed {rng_seed}: spread of groups {spread}");
        }
    }

    #[test]
    fn windows_of_a_series_differ_as_those_of_one_workload_and_its_neighbours_do() {
        let series = Series::new(&Topology::deepseek_v3(), 7);
        let windows: Vec<_> = (0..12).map(|number| series.window(number)).collect();
        let drifts: Vec<_> = windows.windows(2).map(|pair| rms_log_ratio(&pair[0], &pair[1])).collect();
        assert!(drifts.iter().all(|drift| (0.02..=0.2).contains(drift)), "{drifts:?}");
        assert!(drifts.iter().any(|drift| *drift < 0.1) && drifts.iter().any(|drift| *drift > 0.1), "{drifts:?}");
        let far = rms_log_ratio(&windows[0], &windows[11]);
        assert!((0.02..=0.2).contains(&far), "{far}");
    }

    #[test]
    fn a_window_is_counts_of_tokens_times_eight_and_follows_its_key() {
        let topology = Topology::deepseek_v3();
        let window = Series::new(&topology, 3).window(5);
        assert_eq!((window.layers, window.experts), (58, 256));
        assert!(window.counts.iter().all(|count| count.fract() == 0.0));
        let totals = of_layers(&window, |layer| layer.iter().sum());
        assert!(totals.iter().all(|total| *total == totals[0]));
        assert!((2_097_144.0..=8_388_608.0).contains(&totals[0]) && totals[0] % 8.0 == 0.0, "{}", totals[0]);
        assert_eq!(window, Series::new(&topology, 3).window(5));
        assert_ne!(window, Series::new(&topology, 3).window(6));
        assert_ne!(window, Series::new(&topology, 4).window(5));
    }

    #[test]
    fn a_chain_wanders_changes_once_and_stays_as_uneven_as_it_was() {
        let topology = Topology { layers: 20, ..Topology::deepseek_v3() };
        let series = Series::new(&topology, 7);
        for number in 0..8 {
            let chain = series.chain(9, &mut stream(1, number, Purpose::Loads));
            let steps: Vec<f64> = chain.windows(2).map(|pair| rms_log_ratio(&pair[0], &pair[1])).collect();
            assert_eq!(steps.iter().filter(|step| (0.4..0.55).contains(*step)).count(), 1, "{steps:?}");
            assert!(steps.iter().all(|step| (0.02..0.55).contains(step)), "{steps:?}");
            assert!(steps.iter().any(|step| *step < 0.06), "{steps:?}");
            let spreads = [&chain[0], &chain[8]].map(|window| median(of_layers(window, gini)));
            assert!((spreads[1] / spreads[0] - 1.0).abs() < 0.15, "{spreads:?}");
        }
    }

    #[test]
    fn any_topology_has_made_up_windows() {
        let mixtral = Topology { layers: 32, experts: 8, groups: 1, nodes: 1, gpus: 8, replicas: 16 };
        let kimi = Topology { layers: 60, experts: 384, groups: 1, nodes: 8, gpus: 64, replicas: 448 };
        for topology in [mixtral, kimi] {
            let window = Series::new(&topology, 1).window(0);
            assert_eq!((window.layers, window.experts), (topology.layers, topology.experts));
        }
    }

    #[test]
    fn a_derived_window_keeps_totals_and_empty_layers_and_differs_by_the_drift_drawn() {
        let real = Series::new(&Topology { layers: 4, ..Topology::deepseek_v3() }, 1).window(0);
        for number in 0..20 {
            let fresh = derived(&real, &mut stream(1, number, Purpose::Loads));
            assert_eq!(of_layers(&real, |layer| layer.iter().sum()), of_layers(&fresh, |layer| layer.iter().sum()));
            let drift = rms_log_ratio(&real, &fresh);
            assert!((0.018..=0.21).contains(&drift), "{drift}");
        }
        let sparse = Window::new(3, vec![0.0, 0.0, 0.0, 0.0, 9.0, 0.0]);
        assert_eq!(derived(&sparse, &mut stream(1, 0, Purpose::Loads)), sparse);
    }

    #[test]
    fn shares_are_not_rounded_to_counts_and_huge_counts_are() {
        let shares = Window::new(2, vec![0.25, 0.75]);
        let fresh = derived(&shares, &mut stream(1, 0, Purpose::Loads));
        assert!((fresh.counts.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((fresh.counts[0] - 0.25).abs() < 0.15 && fresh.counts[0] != 0.25);
        let huge = Window::new(256, vec![1e15; 256]);
        let fresh = derived(&huge, &mut stream(1, 0, Purpose::Loads));
        assert!((fresh.counts.iter().sum::<f64>() / 256e15 - 1.0).abs() < 1e-12);
    }
}
