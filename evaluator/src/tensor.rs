//! Tensor: the lower bounds of all rows of a call at once, by torch in float64 on the CPU.
//!
//! The only file that names tch. Its arguments are verified, and it takes and returns plain numbers. `bound` and
//! [`placement`](crate::placement) define its results and are the oracles of its tests.

use tch::{Kind, Tensor};

use crate::rows::Rows;

/// Lower bound on the heaviest of `packs` packs of each row.
pub fn bounds(rows: &Rows, packs: usize) -> Vec<f64> {
    assert!(packs > 0 && rows.items().is_multiple_of(packs), "BUG: {} items on {packs} packs", rows.items());
    let (sorted, _) = weights(rows).sort(1, true);
    match rows.items() / packs {
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
    Tensor::from_slice(rows.weights()).view(shape(rows))
}

fn shape(rows: &Rows) -> [i64; 2] {
    [rows.rows() as i64, rows.items() as i64]
}

fn to_vec(values: &Tensor) -> Vec<f64> {
    Vec::try_from(values.contiguous()).expect("BUG: a vector of float64")
}

#[cfg(test)]
mod tests {
    use packevolve_contract::stream::{Purpose, stream};
    use rand::RngExt;
    use rand::seq::SliceRandom;

    use super::*;
    use crate::placement::RowLoads;
    use crate::{bound, placement};

    /// The oracle of [`placement::row_loads`], which takes a quarter of the time for rows of this size.
    fn row_loads(rows: &Rows, pack_index: &[i64], packs: usize) -> RowLoads {
        let weights = weights(rows);
        let index = Tensor::from_slice(pack_index).view(shape(rows));
        let empty = Tensor::zeros([rows.rows() as i64, packs as i64], (Kind::Double, tch::Device::Cpu));
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
        let mut row: Vec<i64> = (0..rows.items()).map(|item| (item % packs) as i64).collect();
        let mut one = || {
            row.shuffle(&mut rng);
            row.clone()
        };
        (0..rows.rows()).flat_map(|_| one()).collect()
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
            agree(&bounds(&rows, packs), &bound::bounds(&rows, packs));
        }
    }

    #[test]
    fn torch_computes_on_one_thread() {
        set_single_thread();
        assert_eq!(tch::get_num_threads(), 1);
    }
}
