//! Rows: the weights of one packing call. The judge makes them from a window; no part comes from a candidate.
//!
//! A child receives float32. The weights here are float64 values of those float32: they are rounded once, when they are
//! made, so the judge scores the numbers that the child saw.

use packevolve_contract::case::{Case, Source};
use packevolve_contract::stream::{Purpose, Stream, stream};
use packevolve_contract::topology::Topology;
use packevolve_loads::window::Window;
use rand::RngExt;
use rand::seq::{SliceRandom, index};

use crate::window::PoolWindow;

/// The items of a call: experts, groups of experts, or replicas of experts. They are chosen on one window and can be
/// weighed on any.
#[derive(Clone, Debug, PartialEq)]
pub struct Items {
    per_row: usize,
    origins: Vec<Origin>,
}

/// Neighbouring experts whose load is spread over a number of items.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Origin {
    layer: usize,
    first_expert: usize,
    experts: usize,
    replicas: f64,
}

/// A permutation of rows, and one of the items of each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Permutation {
    /// The old number of each row.
    pub rows: Vec<usize>,
    /// The old numbers of the items, row by row.
    items: Vec<usize>,
}

/// Weights `[rows, items]`, row-major, each exactly representable in float32, finite and not negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    pub rows: usize,
    pub items: usize,
    pub weights: Vec<f64>,
}

impl Rows {
    /// Rows of `items` weights each, rounded to float32.
    pub fn new(items: usize, weights: &[f64]) -> Self {
        let is_whole = !weights.is_empty() && weights.len().is_multiple_of(items);
        assert!(is_whole, "BUG: {} weights in rows of {items}", weights.len());
        let weights: Vec<f64> = weights.iter().map(|weight| f64::from(*weight as f32)).collect();
        assert!(weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0), "BUG: an invalid weight");
        Self { rows: weights.len() / items, items, weights }
    }

    pub fn row(&self, row: usize) -> &[f64] {
        &self.weights[row * self.items..][..self.items]
    }

    /// The weights as the child receives them.
    pub fn to_f32(&self) -> Vec<f32> {
        self.weights.iter().map(|weight| *weight as f32).collect()
    }

    pub fn permuted(&self, permutation: &Permutation) -> Self {
        let mut weights = Vec::with_capacity(self.weights.len());
        for (&row, items) in permutation.rows.iter().zip(permutation.items.chunks_exact(self.items)) {
            weights.extend(items.iter().map(|&item| self.row(row)[item]));
        }
        Self { weights, ..*self }
    }
}

impl Permutation {
    pub fn draw(rows: usize, items: usize, rng: &mut Stream) -> Self {
        let mut drawn = Self { rows: (0..rows).collect(), items: Vec::with_capacity(rows * items) };
        drawn.rows.shuffle(rng);
        for row in 0..rows {
            drawn.items.extend(0..items);
            drawn.items[row * items..].shuffle(rng);
        }
        drawn
    }
}

impl Items {
    /// The items of `case` on `window`. They depend on the arguments alone, so that every candidate of a run gets the
    /// same; only [`Source::Random`] draws, from its own stream.
    pub fn of_case(case: &Case, topology: &Topology, window: PoolWindow<'_>, rng_seed: u64) -> Self {
        let PoolWindow { number, now, .. } = window;
        let shape = (now.layers, now.experts);
        assert_eq!(shape, (topology.layers, topology.experts), "BUG: a window of another topology");
        let layers = 0..now.layers;
        let origins: Vec<Origin> = match case.source {
            Source::Groups => layers.flat_map(|layer| groups(layer, now, topology.groups)).collect(),
            Source::NodeReplicas => layers.flat_map(|layer| node_replicas(layer, now, topology, case.items)).collect(),
            Source::GlobalReplicas => layers.flat_map(|layer| layer_replicas(layer, now, case.items)).collect(),
            Source::Random => drawn(case, now, &mut random_stream(case, number, rng_seed)),
        };
        assert_eq!(origins.len(), case.rows * case.items, "BUG: case {case} does not fit its topology");
        Self { per_row: case.items, origins }
    }

    /// The expert of each item; of a group the first one.
    pub fn experts(&self) -> Vec<usize> {
        self.origins.iter().map(|origin| origin.first_expert).collect()
    }

    /// The weights of the items on a window of the same shape.
    pub fn weigh(&self, window: &Window) -> Rows {
        let weights: Vec<f64> = self.origins.iter().map(|origin| origin.weight(window)).collect();
        Rows::new(self.per_row, &weights)
    }
}

impl Origin {
    fn expert(layer: usize, expert: usize, replicas: f64) -> Self {
        Self { layer, first_expert: expert, experts: 1, replicas }
    }

    fn weight(&self, window: &Window) -> f64 {
        window.layer(self.layer)[self.first_expert..][..self.experts].iter().sum::<f64>() / self.replicas
    }
}

/// The groups of a layer: neighbouring experts form a group.
fn groups(layer: usize, window: &Window, groups: usize) -> impl Iterator<Item = Origin> {
    let experts = window.experts / groups;
    (0..groups).map(move |group| Origin { layer, first_expert: group * experts, experts, replicas: 1.0 })
}

/// The replicas of a layer, node after node. Each node replicates its own experts.
fn node_replicas(layer: usize, window: &Window, topology: &Topology, replicas: usize) -> Vec<Origin> {
    let per_group = window.experts / topology.groups;
    let on_node = |groups: &Vec<usize>| {
        let experts = groups.iter().flat_map(|group| (0..per_group).map(move |at| group * per_group + at));
        replicated(layer, window, &experts.collect::<Vec<_>>(), replicas)
    };
    let sums: Vec<f64> = groups(layer, window, topology.groups).map(|group| group.weight(window)).collect();
    groups_of_nodes(&sums, topology.nodes).iter().flat_map(on_node).collect()
}

/// The replicas of a layer, chosen among all its experts.
fn layer_replicas(layer: usize, window: &Window, replicas: usize) -> Vec<Origin> {
    replicated(layer, window, &(0..window.experts).collect::<Vec<_>>(), replicas)
}

/// Assigns the same number of groups to each node: the heaviest group left goes to the lightest node with room.
///
/// This is exact for one group a node, and for two, where it pairs the heaviest with the lightest. For more it is a
/// heuristic, the same for every candidate.
fn groups_of_nodes(sums: &[f64], nodes: usize) -> Vec<Vec<usize>> {
    let mut heaviest_first: Vec<usize> = (0..sums.len()).collect();
    heaviest_first.sort_by(|&a, &b| sums[b].total_cmp(&sums[a]));
    let mut groups = vec![Vec::new(); nodes];
    let mut loads = vec![0.0_f64; nodes];
    for group in heaviest_first {
        let lightest = (0..nodes)
            .filter(|&node| groups[node].len() < sums.len() / nodes)
            .min_by(|&a, &b| loads[a].total_cmp(&loads[b]))
            .expect("BUG: the nodes have room for all groups");
        groups[lightest].push(group);
        loads[lightest] += sums[group];
    }
    groups
}

/// `replicas` items for `experts` of a layer: each expert once, in order; then, one at a time, one more replica of the
/// expert with the heaviest replicas (the first of equals). A replica weighs load / count.
fn replicated(layer: usize, window: &Window, experts: &[usize], replicas: usize) -> Vec<Origin> {
    assert!(replicas >= experts.len(), "BUG: {replicas} replicas of {} experts", experts.len());
    let loads: Vec<f64> = experts.iter().map(|&expert| window.layer(layer)[expert]).collect();
    let mut counts = vec![1.0; loads.len()];
    let mut chosen: Vec<usize> = (0..loads.len()).collect();
    while chosen.len() < replicas {
        let weight = |at: usize| loads[at] / counts[at];
        // `max_by` returns the last of equals.
        let heaviest = (0..loads.len()).rev().max_by(|&a, &b| weight(a).total_cmp(&weight(b)));
        let heaviest = heaviest.expect("BUG: replicas of no expert");
        counts[heaviest] += 1.0;
        chosen.push(heaviest);
    }
    chosen.into_iter().map(|at| Origin::expert(layer, experts[at], counts[at])).collect()
}

/// The stream of a random case on a window. Number 0 of this purpose drew the shapes; each (window, items, rows) has its
/// own number.
fn random_stream(case: &Case, window_number: usize, rng_seed: u64) -> Stream {
    let low = |value: usize| value as u64 & 0xffff;
    let number = (window_number as u64) << 32 | low(case.items) << 16 | low(case.rows);
    stream(rng_seed, number, Purpose::RandomCases)
}

/// Rows of drawn layers, each with drawn experts.
fn drawn(case: &Case, window: &Window, rng: &mut Stream) -> Vec<Origin> {
    let layers: Vec<usize> = if case.rows <= window.layers {
        index::sample(rng, window.layers, case.rows).into_vec()
    } else {
        (0..case.rows).map(|_| rng.random_range(0..window.layers)).collect()
    };
    layers.into_iter().flat_map(|layer| drawn_items(layer, window, case.items, rng)).collect()
}

fn drawn_items(layer: usize, window: &Window, items: usize, rng: &mut Stream) -> Vec<Origin> {
    if items > window.experts {
        return layer_replicas(layer, window, items);
    }
    let experts = index::sample(rng, window.experts, items).into_iter();
    experts.map(|expert| Origin::expert(layer, expert, 1.0)).collect()
}

#[cfg(test)]
mod tests {
    use packevolve_contract::case::{cases, global_shapes};

    use super::*;
    use crate::made_up::Series;

    /// Two layers of eight experts in four groups on two nodes; the second layer has no load.
    fn small() -> (Topology, Window) {
        let topology = Topology { layers: 2, experts: 8, groups: 4, nodes: 2, gpus: 4, replicas: 12 };
        let layer = [1.0, 1.0, 5.0, 1.0, 20.0, 10.0, 8.0, 2.0];
        (topology, Window::new(8, [layer, [0.0; 8]].concat()))
    }

    fn rows_of(case: &Case, topology: &Topology, window: &Window, window_number: usize, rng_seed: u64) -> Rows {
        let window = PoolWindow { number: window_number, now: window, next: None };
        Items::of_case(case, topology, window, rng_seed).weigh(window.now)
    }

    fn case(source: Source, rows: usize, items: usize) -> Case {
        Case { source, rows, items, packs: 2 }
    }

    #[test]
    fn groups_are_sums_of_neighbouring_experts() {
        let (topology, window) = small();
        let made = rows_of(&case(Source::Groups, 2, 4), &topology, &window, 0, 1);
        assert_eq!(made.weights, [2.0, 6.0, 30.0, 10.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn nodes_get_the_heaviest_group_with_the_lightest_and_replicate_their_own_experts() {
        let (topology, window) = small();
        let made = rows_of(&case(Source::NodeReplicas, 4, 6), &topology, &window, 0, 1);
        // groups 30 and 2: experts 20, 10, 1, 1; two more replicas halve 20, then the first 10 of three equal ones
        assert_eq!(made.row(0), [20.0f32 / 3.0, 10.0, 1.0, 1.0, 20.0 / 3.0, 20.0 / 3.0].map(f64::from));
        // groups 10 and 6: experts 8, 2, 5, 1; 8 is halved, then 5
        assert_eq!(made.row(1), [4.0, 2.0, 2.5, 1.0, 4.0, 2.5]);
        assert_eq!((made.row(2), made.row(3)), (&[0.0; 6][..], &[0.0; 6][..]));
    }

    #[test]
    fn the_global_policy_replicates_over_the_whole_layer_and_not_at_all_without_redundancy() {
        let (topology, window) = small();
        let made = rows_of(&case(Source::GlobalReplicas, 2, 10), &topology, &window, 0, 1);
        assert_eq!(made.row(0)[..6], [1.0, 1.0, 5.0, 1.0, f64::from(20.0f32 / 3.0), 10.0]);
        assert_eq!(made.row(0)[8..], [f64::from(20.0f32 / 3.0); 2]);
        let made = rows_of(&case(Source::GlobalReplicas, 2, 8), &topology, &window, 0, 1);
        assert_eq!(made.weights, window.counts);
    }

    #[test]
    fn pairing_heaviest_with_lightest_is_what_the_group_rule_gives_for_two_a_node() {
        let sums = [7.0, 1.0, 0.0, 9.0, 4.0, 0.0, 0.0, 3.0];
        let loads = |nodes| -> Vec<f64> {
            groups_of_nodes(&sums, nodes).iter().map(|groups| groups.iter().map(|&group| sums[group]).sum()).collect()
        };
        assert_eq!(loads(4), [9.0, 7.0, 4.0, 4.0]);
        assert_eq!(loads(8).len(), 8);
        let three_a_node = groups_of_nodes(&[5.0, 4.0, 3.0, 3.0, 2.0, 1.0], 2);
        assert_eq!(three_a_node, [vec![0, 3, 5], vec![1, 2, 4]]);
    }

    #[test]
    fn random_rows_are_drawn_from_layers_and_their_experts() {
        let topology = Topology { layers: 5, experts: 16, ..small().0 };
        let window = Series::new(&topology, 1).window(0);
        let made = rows_of(&case(Source::Random, 9, 6), &topology, &window, 3, 1);
        for row in 0..9 {
            let holds = |layer| made.row(row).iter().all(|weight| window.layer(layer).contains(weight));
            assert!((0..5).any(holds));
            let mut sorted = made.row(row).to_vec();
            sorted.sort_by(f64::total_cmp);
            sorted.dedup();
            assert_eq!(sorted.len(), 6, "an expert was drawn twice");
        }
        assert_eq!(made, rows_of(&case(Source::Random, 9, 6), &topology, &window, 3, 1));
        assert_ne!(made, rows_of(&case(Source::Random, 9, 6), &topology, &window, 4, 1));
        assert_ne!(made, rows_of(&case(Source::Random, 9, 6), &topology, &window, 3, 2));
        // More items than experts: all experts, replicated. Few rows: no layer twice.
        let made = rows_of(&case(Source::Random, 5, 20), &topology, &window, 3, 1);
        let mut heaviest: Vec<f64> = (0..5).map(|row| made.row(row).iter().sum()).collect();
        let total: f64 = window.layer(0).iter().sum();
        assert!(heaviest.iter().all(|sum| (sum / total - 1.0).abs() < 1e-5), "{heaviest:?}");
        heaviest = (0..5).map(|row| made.row(row)[0]).collect();
        heaviest.sort_by(f64::total_cmp);
        heaviest.dedup();
        assert_eq!(heaviest.len(), 5);
    }

    #[test]
    fn every_case_of_a_run_can_be_made_and_is_the_same_in_float32() {
        for (name, preset) in Topology::PRESETS {
            let topology = Topology { layers: 3, ..preset };
            let window = Series::new(&topology, 2).window(0);
            for case in cases(&topology, &global_shapes(&topology), 6, 1).unwrap() {
                let made = rows_of(&case, &topology, &window, 0, 1);
                assert_eq!((made.rows, made.items), (case.rows, case.items), "{name}, {case}");
                assert!(made.to_f32().iter().zip(&made.weights).all(|(given, judged)| f64::from(*given) == *judged));
            }
        }
    }

    #[test]
    fn permuting_keeps_every_row_and_says_which_it_was() {
        let (topology, window) = small();
        let made = rows_of(&case(Source::NodeReplicas, 4, 6), &topology, &window, 0, 1);
        let draw = || Permutation::draw(4, 6, &mut stream(1, 0, Purpose::Permutation));
        let other = made.permuted(&draw());
        assert_ne!(made, other);
        let sorted = |row: &[f64]| {
            let mut row = row.to_vec();
            row.sort_by(f64::total_cmp);
            row
        };
        for (row, &was) in draw().rows.iter().enumerate() {
            assert_eq!(sorted(other.row(row)), sorted(made.row(was)));
        }
        assert_eq!(other, made.permuted(&draw()));
    }

    #[test]
    fn items_chosen_on_one_window_are_weighed_on_another() {
        let (topology, window) = small();
        let next = Window::new(8, [[6.0, 1.0, 1.0, 1.0, 3.0, 2.0, 0.0, 4.0], [1.0; 8]].concat());
        let window = PoolWindow { number: 0, now: &window, next: None };
        let weights =
            |source, rows, items| Items::of_case(&case(source, rows, items), &topology, window, 1).weigh(&next);
        assert_eq!(weights(Source::Groups, 2, 4).weights, [7.0, 2.0, 5.0, 4.0, 2.0, 2.0, 2.0, 2.0]);
        // Experts 4, 5, 0, 1 of the first node, of which 4 had three replicas, its own one and two more.
        assert_eq!(weights(Source::NodeReplicas, 4, 6).row(0), [1.0, 2.0, 6.0, 1.0, 1.0, 1.0]);
        let of_random = weights(Source::Random, 2, 8);
        let mut of_next = next.counts.to_vec();
        of_next.sort_by(f64::total_cmp);
        let mut drawn = of_random.weights.to_vec();
        drawn.sort_by(f64::total_cmp);
        assert_eq!(drawn, of_next);
    }
}
