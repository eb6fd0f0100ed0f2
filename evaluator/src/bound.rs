//! Bound: the least that the heaviest pack of a row must carry in any packing (FIELD.md section 1).
//!
//! Plain loops over sorted weights: the oracle that [`tensor`](crate::tensor) is tested against. A bound depends on the
//! weights of a row, but not on their order.

use crate::rows::Rows;

/// Lower bound on the heaviest pack of each row.
pub fn bounds(rows: &Rows, packs: usize) -> Vec<f64> {
    (0..rows.rows()).map(|row| bound(rows.row(row), packs)).collect()
}

/// Lower bound on the heaviest of `packs` packs with equally many items. For one or two items a pack it is the optimum.
pub fn bound(weights: &[f64], packs: usize) -> f64 {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
