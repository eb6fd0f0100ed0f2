//! Placement: whether the outputs of a packing call are valid, and the loads of their packs.
//!
//! Scores follow from `pack_index` alone; `rank_in_pack` is only checked. Plain loops: for rows of a few hundred items
//! they take a quarter of torch's time. A test compares [`row_loads`] with torch.

use thiserror::Error;

use crate::rows::Rows;

/// How a placement breaks the contract. Rows, items and packs count from 0, as the candidate's own indices do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlacementError {
    #[error("row {row}, item {item}: pack {pack} is not among packs 0 to {last}")]
    NoSuchPack { row: usize, item: usize, pack: i64, last: usize },
    #[error("row {row}, pack {pack}: {found} items, must be exactly {wanted}")]
    PackSize { row: usize, pack: usize, found: usize, wanted: usize },
    #[error("row {row}, item {item}: rank {rank} in pack {pack} is not among ranks 0 to {last}")]
    NoSuchRank { row: usize, item: usize, pack: i64, rank: i64, last: usize },
    #[error("row {row}, pack {pack}: items {first} and {second} both have rank {rank}")]
    SameRank { row: usize, pack: i64, first: usize, second: usize, rank: i64 },
}

/// Mean and heaviest pack load of each row, in tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct RowLoads {
    pub mean: Vec<f64>,
    pub max: Vec<f64>,
}

/// Checks the outputs of a call, each `[rows, items]`: every pack of a row has exactly `items / packs` items, and their
/// ranks are a permutation. Returns the first error of the first invalid row.
pub fn verify(
    pack_index: &[i64],
    rank_in_pack: &[i64],
    rows: usize,
    items: usize,
    packs: usize,
) -> Result<(), PlacementError> {
    assert!(packs > 0 && items > 0 && items.is_multiple_of(packs), "BUG: {items} items on {packs} packs");
    let lengths = (pack_index.len(), rank_in_pack.len());
    assert_eq!(lengths, (rows * items, rows * items), "BUG: outputs of another shape");
    let mut both = pack_index.chunks_exact(items).zip(rank_in_pack.chunks_exact(items)).enumerate();
    both.try_for_each(|(row, (pack_index, rank_in_pack))| verify_row(pack_index, rank_in_pack, packs, row))
}

fn verify_row(pack_index: &[i64], rank_in_pack: &[i64], packs: usize, row: usize) -> Result<(), PlacementError> {
    let wanted = pack_index.len() / packs;
    // A negative number becomes one that is too large.
    if let Some(item) = pack_index.iter().position(|&pack| pack as usize >= packs) {
        return Err(PlacementError::NoSuchPack { row, item, pack: pack_index[item], last: packs - 1 });
    }
    let mut found = vec![0; packs];
    pack_index.iter().for_each(|&pack| found[pack as usize] += 1);
    if let Some(pack) = found.iter().position(|&found| found > wanted) {
        return Err(PlacementError::PackSize { row, pack, found: found[pack], wanted });
    }
    if let Some(item) = rank_in_pack.iter().position(|&rank| rank as usize >= wanted) {
        let (pack, rank) = (pack_index[item], rank_in_pack[item]);
        return Err(PlacementError::NoSuchRank { row, item, pack, rank, last: wanted - 1 });
    }
    let mut taken_by = vec![None; pack_index.len()];
    for (second, (&pack, &rank)) in pack_index.iter().zip(rank_in_pack).enumerate() {
        if let Some(first) = taken_by[pack as usize * wanted + rank as usize].replace(second) {
            return Err(PlacementError::SameRank { row, pack, first, second, rank });
        }
    }
    Ok(())
}

/// The loads of a valid `pack_index`.
pub fn row_loads(rows: &Rows, pack_index: &[i64], packs: usize) -> RowLoads {
    let (mut mean, mut max) = (Vec::with_capacity(rows.rows), Vec::with_capacity(rows.rows));
    let mut loads = vec![0.0; packs];
    for (row, pack_index) in pack_index.chunks_exact(rows.items).enumerate() {
        loads.fill(0.0);
        for (weight, &pack) in rows.row(row).iter().zip(pack_index) {
            loads[pack as usize] += weight;
        }
        mean.push(loads.iter().sum::<f64>() / packs as f64);
        max.push(loads.iter().copied().fold(0.0, f64::max));
    }
    RowLoads { mean, max }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use packevolve_contract::stream::{Purpose, stream};
    use proptest::prelude::*;
    use rand::seq::SliceRandom;

    use super::*;

    /// A valid placement drawn at random.
    fn drawn(rng_seed: u64, rows: usize, items: usize, packs: usize) -> (Vec<i64>, Vec<i64>) {
        let mut rng = stream(rng_seed, 0, Purpose::Permutation);
        let per_pack = items / packs;
        let mut slots: Vec<(i64, i64)> =
            (0..items).map(|item| ((item / per_pack) as i64, (item % per_pack) as i64)).collect();
        let mut row = || {
            slots.shuffle(&mut rng);
            slots.clone()
        };
        (0..rows).flat_map(|_| row()).unzip()
    }

    fn message(pack_index: &[i64], rank_in_pack: &[i64]) -> String {
        verify(pack_index, rank_in_pack, 2, 4, 2).unwrap_err().to_string()
    }

    #[test]
    fn what_breaks_the_contract_is_named_with_row_and_item_or_pack() {
        let ranks = [0, 1, 0, 1, 0, 0, 1, 1];
        assert_eq!(verify(&[0, 0, 1, 1, 0, 1, 0, 1], &ranks, 2, 4, 2), Ok(()));
        assert_eq!(message(&[0, 0, 1, 1, 0, 2, 0, 1], &ranks), "row 1, item 1: pack 2 is not among packs 0 to 1");
        assert_eq!(message(&[0, 0, 1, -1, 0, 1, 0, 1], &ranks), "row 0, item 3: pack -1 is not among packs 0 to 1");
        assert_eq!(message(&[0, 0, 1, 1, 0, 1, 0, 0], &ranks), "row 1, pack 0: 3 items, must be exactly 2");
        let packs = [0, 0, 1, 1, 0, 1, 0, 1];
        assert_eq!(
            message(&packs, &[0, 1, 0, 2, 0, 0, 1, 1]),
            "row 0, item 3: rank 2 in pack 1 is not among ranks 0 to 1"
        );
        assert_eq!(
            message(&packs, &[0, 1, 0, 1, 0, i64::MIN, 1, 1]),
            "row 1, item 1: rank -9223372036854775808 in pack 1 is not among ranks 0 to 1"
        );
        assert_eq!(message(&packs, &[0, 1, 0, 1, 0, 0, 0, 1]), "row 1, pack 0: items 0 and 2 both have rank 0");
    }

    #[test]
    fn an_over_full_pack_is_found_even_if_its_ranks_look_right() {
        // Three items in pack 0 whose ranks are legal each; the lighter pack is the gain of the cheat.
        assert_eq!(
            message(&[0, 0, 0, 1, 0, 1, 0, 1], &[0, 1, 1, 0, 0, 0, 1, 1]),
            "row 0, pack 0: 3 items, must be exactly 2"
        );
        assert_eq!(
            message(&[0, 0, 0, 1, 0, 1, 0, 1], &[0, 1, 2, 0, 0, 0, 1, 1]),
            "row 0, pack 0: 3 items, must be exactly 2"
        );
    }

    #[test]
    fn the_largest_call_of_a_rebalance_is_verified_in_well_under_a_millisecond() {
        let (pack_index, rank_in_pack) = drawn(1, 232, 72, 8);
        let fastest = (0..20).map(|_| {
            let start = Instant::now();
            verify(&pack_index, &rank_in_pack, 232, 72, 8).unwrap();
            start.elapsed()
        });
        let fastest = fastest.min().unwrap();
        println!("16,704 items verified in {fastest:?}");
        assert!(fastest < Duration::from_micros(500), "{fastest:?}");
    }

    #[test]
    fn loads_are_those_of_the_packs() {
        let rows = Rows::new(4, &[1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        let loads = row_loads(&rows, &[0, 1, 1, 0, 0, 1, 1, 0], 2);
        assert_eq!(loads, RowLoads { mean: vec![5.0, 0.0], max: vec![5.0, 0.0] });
        assert_eq!(row_loads(&rows, &[0, 0, 1, 1, 0, 1, 1, 0], 2).max, [7.0, 0.0]);
    }

    proptest! {
        #[test]
        fn every_packing_is_valid_and_no_single_change_of_it(
            rng_seed: u64, rows in 1usize..5, packs in 1usize..6, per_pack in 1usize..6, at: prop::sample::Index,
            value in -2i64..8, of_rank: bool,
        ) {
            let items = packs * per_pack;
            let (mut pack_index, mut rank_in_pack) = drawn(rng_seed, rows, items, packs);
            prop_assert_eq!(verify(&pack_index, &rank_in_pack, rows, items, packs), Ok(()));
            let changed = if of_rank { &mut rank_in_pack } else { &mut pack_index };
            let at = at.index(changed.len());
            prop_assume!(changed[at] != value);
            changed[at] = value;
            prop_assert!(verify(&pack_index, &rank_in_pack, rows, items, packs).is_err());
        }
    }
}
