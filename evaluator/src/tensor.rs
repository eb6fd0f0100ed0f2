//! Tensor: lower bounds of all rows of a call at once, by torch in float64 on the CPU; in tests the loads of packs too.
//!
//! The only file that knows tch. Callers have verified what they hand in (a wrong index is a bug here, not a finding),
//! and plain numbers go in and come out. What it computes is defined by [`placement`](crate::placement) and
//! [`bound`](crate::bound), the oracles of its tests.

use std::fs;
use std::path::Path;

#[cfg(test)]
use tch::Device;
use tch::{Kind, Tensor};

#[cfg(test)]
use crate::placement::RowLoads;
use crate::rows::Rows;

/// Mean and heaviest pack load of each row for a verified `pack_index` `[rows, items]`. For so few numbers torch takes
/// four times as long as [`placement::row_loads`](crate::placement::row_loads), which is tested against this.
#[cfg(test)]
pub fn row_loads(rows: &Rows, pack_index: &[i64], packs: usize) -> RowLoads {
    assert_eq!(pack_index.len(), rows.weights().len(), "BUG: a placement of other rows");
    let weights = weights(rows);
    let index = Tensor::from_slice(pack_index).view(shape(rows));
    let empty = Tensor::zeros([rows.rows() as i64, packs as i64], (Kind::Double, Device::Cpu));
    let loads = empty.scatter_add(1, &index, &weights);
    RowLoads { mean: to_vec(&loads.mean_dim(1i64, false, Kind::Double)), max: to_vec(&loads.amax(1i64, false)) }
}

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

/// The mean, and for q = 0 .. `per_pack` the q + 1 lightest of the q * packs + 1 heaviest items with the
/// per_pack - q - 1 lightest of all, as differences of running sums.
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

/// The version of the torch that this process has loaded, such as `2.11.0+cu130`; none if its files do not say.
pub fn torch_version() -> Option<String> {
    // torch offers no such function to C++. A Python package has it in version.py, a bare libtorch in build-version.
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .find(|path| path.contains("/libtorch_cpu."))?;
    let torch = Path::new(library).parent()?.parent()?;
    if let Ok(version) = fs::read_to_string(torch.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    let version = fs::read_to_string(torch.join("version.py")).ok()?;
    let value = version.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
    Some(value.trim().trim_matches(['\'', '"']).to_owned())
}

/// Lets torch compute on the calling thread alone: the judge shares its core with the child that it measures.
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
    use crate::{bound, placement};

    fn agree(one: &[f64], other: &[f64]) {
        assert_eq!(one.len(), other.len());
        for (row, (one, other)) in one.iter().zip(other).enumerate() {
            assert!((one - other).abs() <= 1e-6 * other.abs(), "row {row}: {one} and {other}");
        }
    }

    /// Rows over many orders of magnitude, with zeros, equal weights, rows without load and with a single giant.
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
    fn the_version_is_that_of_the_torch_loaded() {
        set_single_thread();
        assert_eq!(tch::get_num_threads(), 1);
        let version = torch_version().unwrap();
        assert!(version.starts_with("2.11.0"), "{version}");
    }
}
