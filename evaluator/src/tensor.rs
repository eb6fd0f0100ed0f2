//! Tensor: the lower bounds of all rows of a call at once, by torch in float64 on the CPU.
//!
//! The only file that names tch. Its arguments are verified, and it takes and returns plain numbers. Its tests compare it
//! with plain loops.

use tch::{Kind, Tensor};

use crate::rows::Rows;

/// Lower bound on the heaviest of `packs` packs of each row: the least that it must carry in any packing (FIELD.md
/// section 1).
pub fn bounds(rows: &Rows, packs: usize) -> Vec<f64> {
    assert!(packs > 0 && rows.items.is_multiple_of(packs), "BUG: {} items on {packs} packs", rows.items);
    let (sorted, _) = weights(rows).sort(1, true);
    match rows.items / packs {
        1 => to_vec(&sorted.select(1, 0)),
        2 => to_vec(&(&sorted + sorted.flip([1])).amax(1i64, false)),
        per_pack => general_bounds(&sorted, packs as i64, per_pack as i64),
    }
}

/// The larger of the mean and, for q in 0 .. `per_pack`, the sum of the q + 1 lightest of the q * packs + 1 heaviest
/// items and the per_pack - q - 1 lightest items, as differences of running sums.
fn general_bounds(sorted: &Tensor, packs: i64, per_pack: i64) -> Vec<f64> {
    let from_heaviest = running_sums(sorted);
    let from_lightest = running_sums(&sorted.flip([1]));
    let column = |of: fn(i64, i64) -> i64| Tensor::from_slice(&(0..per_pack).map(|q| of(q, packs)).collect::<Vec<_>>());
    let upto = from_heaviest.index_select(1, &column(|q, packs| q * packs + 1));
    let before = from_heaviest.index_select(1, &column(|q, packs| q * packs - q));
    let lightest = from_lightest.index_select(1, &(per_pack - 1 - column(|q, _| q)));
    let pigeonhole = (upto - before + lightest).amax(1i64, false);
    let mean = from_heaviest.select(1, packs * per_pack) / packs as f64;
    to_vec(&mean.maximum(&pigeonhole))
}

/// Sums of the first 0, 1, .. n values of each row, `[rows, n + 1]`.
fn running_sums(values: &Tensor) -> Tensor {
    values.cumsum(1, Kind::Double).constant_pad_nd([1, 0])
}

/// Limits torch to the calling thread, because the judge shares its core with the child that it measures.
pub fn set_single_thread() {
    tch::set_num_threads(1);
}

fn weights(rows: &Rows) -> Tensor {
    Tensor::from_slice(&rows.weights).view(shape(rows))
}

fn shape(rows: &Rows) -> [i64; 2] {
    [rows.rows as i64, rows.items as i64]
}

fn to_vec(values: &Tensor) -> Vec<f64> {
    Vec::try_from(values.contiguous()).expect("BUG: a vector of float64")
}

#[cfg(test)]
pub mod tests {
    use packevolve_contract::stream::{Purpose, stream};
    use proptest::prelude::{Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use rand::RngExt;
    use rand::seq::SliceRandom;

    use super::*;
    use crate::placement::{self, RowLoads};

    // The bounds by plain loops over sorted weights. A bound depends on the weights of a row, but not on their order.

    pub fn plain_bounds(rows: &Rows, packs: usize) -> Vec<f64> {
        (0..rows.rows).map(|row| bound(rows.row(row), packs)).collect()
    }

    /// Lower bound on the heaviest of `packs` packs with equally many items. For one or two items a pack it is the optimum.
    fn bound(weights: &[f64], packs: usize) -> f64 {
        let items = weights.len();
        assert!(packs > 0 && items > 0 && items.is_multiple_of(packs), "BUG: {items} items on {packs} packs");
        let mut sorted = weights.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        match items / packs {
            1 => sorted[0],
            2 => heaviest_pair(&sorted),
            per_pack => {
                let mean = sorted.iter().sum::<f64>() / packs as f64;
                (0..per_pack).map(|q| pigeonhole(&sorted, packs, q)).fold(mean, f64::max)
            }
        }
    }

    /// Two items a pack: it is optimal to pair the heaviest with the lightest, the next with the next lightest, and so on.
    fn heaviest_pair(sorted: &[f64]) -> f64 {
        sorted.iter().zip(sorted.iter().rev()).map(|(heavy, light)| heavy + light).fold(0.0, f64::max)
    }

    /// Some pack gets at least q + 1 of the q * packs + 1 heaviest items; its other items are no lighter than the lightest
    /// items of all. With q = 0 that is the heaviest item with the lightest ones.
    fn pigeonhole(sorted: &[f64], packs: usize, q: usize) -> f64 {
        let per_pack = sorted.len() / packs;
        let lightest_of_heaviest = &sorted[q * packs - q..=q * packs];
        let lightest = &sorted[sorted.len() - (per_pack - q - 1)..];
        lightest_of_heaviest.iter().sum::<f64>() + lightest.iter().sum::<f64>()
    }

    /// The oracle of [`placement::row_loads`], which takes a quarter of the time for rows of this size.
    fn row_loads(rows: &Rows, pack_index: &[i64], packs: usize) -> RowLoads {
        let weights = weights(rows);
        let index = Tensor::from_slice(pack_index).view(shape(rows));
        let empty = Tensor::zeros([rows.rows as i64, packs as i64], (Kind::Double, tch::Device::Cpu));
        let loads = empty.scatter_add(1, &index, &weights);
        RowLoads { mean: to_vec(&loads.mean_dim(1i64, false, Kind::Double)), max: to_vec(&loads.amax(1i64, false)) }
    }

    fn agree(one: &[f64], other: &[f64]) {
        assert_eq!(one.len(), other.len());
        for (row, (one, other)) in one.iter().zip(other).enumerate() {
            assert!((one - other).abs() <= 1e-6 * other.abs(), "row {row}: {one} and {other}");
        }
    }

    /// Rows over many orders of magnitude: with zeros, equal weights, no load, or a single giant.
    fn uneven(rows: usize, items: usize) -> Rows {
        let mut rng = stream(1, (rows * items) as u64, Purpose::Loads);
        let mut weights = Vec::new();
        for row in 0..rows {
            let scale = 10f64.powi(rng.random_range(-3..9));
            let weight = |_| match (row % 4, rng.random_range(0..5)) {
                (1, _) => 0.0,
                (2, 0) => 1e12,
                (_, 1) => scale,
                (_, 2) => 0.0,
                _ => scale * rng.random::<f64>(),
            };
            weights.extend((0..items).map(weight));
        }
        Rows::new(items, &weights)
    }

    fn placed(rows: &Rows, packs: usize) -> Vec<i64> {
        let mut rng = stream(2, 0, Purpose::Permutation);
        let mut row: Vec<i64> = (0..rows.items).map(|item| (item % packs) as i64).collect();
        let mut one = || {
            row.shuffle(&mut rng);
            row.clone()
        };
        (0..rows.rows).flat_map(|_| one()).collect()
    }

    #[test]
    fn loads_and_bounds_by_torch_are_those_of_the_plain_loops() {
        let shapes = [
            (1, 1, 1),
            (5, 4, 4),
            (6, 8, 4),
            (7, 9, 3),
            (9, 12, 1),
            (58, 8, 4),
            (232, 72, 8),
            (58, 288, 32),
            (58, 320, 64),
            (58, 256, 32),
            (58, 256, 64),
            (33, 256, 128),
            (33, 256, 256),
            (96, 480, 40),
            (4, 4096, 16),
            (2000, 96, 12),
        ];
        for (x, items, packs) in shapes {
            let rows = uneven(x, items);
            let pack_index = placed(&rows, packs);
            let (by_torch, plain) =
                (row_loads(&rows, &pack_index, packs), placement::row_loads(&rows, &pack_index, packs));
            agree(&by_torch.mean, &plain.mean);
            agree(&by_torch.max, &plain.max);
            agree(&bounds(&rows, packs), &plain_bounds(&rows, packs));
        }
    }

    #[test]
    fn torch_computes_on_one_thread() {
        set_single_thread();
        assert_eq!(tch::get_num_threads(), 1);
    }

    /// The lightest heaviest pack of all packings.
    fn optimum(weights: &[f64], packs: usize) -> f64 {
        fn place(weights: &[f64], per_pack: usize, loads: &mut [(f64, usize)], best: &mut f64) {
            let Some((weight, others)) = weights.split_first() else {
                *best = best.min(loads.iter().map(|load| load.0).fold(0.0, f64::max));
                return;
            };
            for pack in 0..loads.len() {
                let before = loads[pack];
                if before.1 < per_pack {
                    loads[pack] = (before.0 + weight, before.1 + 1);
                    place(others, per_pack, loads, best);
                    loads[pack] = before;
                }
            }
        }
        let mut best = f64::INFINITY;
        place(weights, weights.len() / packs, &mut vec![(0.0, 0); packs], &mut best);
        best
    }

    #[test]
    fn each_of_the_bounds_binds_somewhere() {
        assert_eq!(bound(&[4.0, 4.0, 4.0, 4.0, 4.0, 4.0], 2), 12.0); // the mean
        assert_eq!(bound(&[90.0, 1.0, 1.0, 2.0, 2.0, 2.0], 2), 92.0); // the heaviest with the lightest two
        assert_eq!(bound(&[6.0, 5.0, 5.0, 0.0, 0.0, 1.0], 2), 10.0); // two of the three heaviest meet (mean 8.5)
        assert_eq!(bound(&[5.0, 5.0, 5.0, 5.0, 5.0, 0.0], 2), 15.0); // three of the five heaviest meet (mean 12.5)
        assert_eq!(bound(&[7.0, 3.0, 2.0, 1.0], 4), 7.0);
        assert_eq!(bound(&[7.0, 3.0, 2.0, 1.0], 2), 8.0);
        assert_eq!(bound(&[7.0, 3.0, 2.0, 1.0], 1), 13.0);
        assert_eq!(bound(&[0.0; 6], 2), 0.0);
    }

    fn instance() -> impl Strategy<Value = (Vec<f64>, usize)> {
        prop::sample::select(vec![(1, 5), (2, 2), (2, 3), (2, 4), (3, 1), (3, 2), (3, 3), (4, 1), (4, 2), (5, 1)])
            .prop_flat_map(|(packs, per_pack)| {
                let weight = prop_oneof![3 => 0.0..100.0, 1 => 0.0..2.0, 1 => Just(0.0), 1 => Just(50.0)];
                (prop::collection::vec(weight, packs * per_pack), Just(packs))
            })
    }

    proptest! {
        #[test]
        fn no_packing_beats_the_bound_and_one_or_two_items_a_pack_reach_it((weights, packs) in instance()) {
            let (bound, optimum) = (bound(&weights, packs), optimum(&weights, packs));
            prop_assert!(bound <= optimum * (1.0 + 1e-12), "{bound} above {optimum}");
            if weights.len() <= 2 * packs || packs == 1 {
                prop_assert!(bound >= optimum * (1.0 - 1e-12), "{bound} below {optimum}");
            }
        }

        #[test]
        fn a_heavier_item_never_lowers_the_bound(
            (weights, packs) in instance(), at: prop::sample::Index, more in 0.0..50.0
        ) {
            let mut heavier = weights.clone();
            heavier[at.index(weights.len())] += more;
            prop_assert!(bound(&heavier, packs) >= bound(&weights, packs) * (1.0 - 1e-12));
        }

        #[test]
        fn the_bound_scales_with_the_weights_and_does_not_see_their_order((weights, packs) in instance()) {
            let other: Vec<f64> = weights.iter().rev().map(|weight| weight * 4.0).collect();
            prop_assert_eq!(bound(&other, packs), bound(&weights, packs) * 4.0);
        }
    }
}
