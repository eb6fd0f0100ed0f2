//! Real loads: windows, rows, bounds and scores together give the figures of FIELD.md section 3, which other code found;
//! made-up loads are compared with the same figures. The project may not publish the real loads, so they lie beside the
//! checkout, and without them their tests are skipped.

use std::path::{Path, PathBuf};

use packevolve_contract::case::{Case, Source};
use packevolve_contract::topology::Topology;
use packevolve_loads::read;
use packevolve_loads::source::LoadsAt;

use crate::placement;
use crate::score::{CaseInput, Scores};
use crate::tensor::tests::plain_bounds;
use crate::workload::{Pool, PoolSize};

#[path = "../../tests/support/skip.rs"]
mod skip;

/// Gaps of the baseline on the eight windows, percent, in the order of [`cases`].
const PUBLISHED: [f64; 6] = [0.614, 0.669, 1.772, 3.507, 0.355, 0.0];

fn real_loads() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/loads/dsv3_sglang");
    if !folder.is_dir() {
        skip::skip("given-loads", "there is no ../shared/loads");
        return None;
    }
    Some(folder)
}

#[test]
fn what_sglang_dumped_is_what_its_csv_copies_hold() {
    let Some(folder) = real_loads() else { return };
    let read =
        |name: String| read::read(&[LoadsAt::here(folder.join(name))], Some(&Topology::deepseek_v3())).unwrap().windows;
    for name in ["decode_in1000out1000", "prefill_in1024"] {
        assert_eq!(read(format!("raw_json/{name}.json")), read(format!("{name}.csv")));
    }
}

/// Longest processing time first, with exactly `items / packs` items a pack: the baseline program in plain Rust.
fn lpt(row: &[f64], packs: usize) -> (Vec<i64>, Vec<i64>) {
    let mut heaviest_first: Vec<usize> = (0..row.len()).collect();
    heaviest_first.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    let (mut loads, mut sizes) = (vec![0.0_f64; packs], vec![0; packs]);
    let (mut pack_index, mut rank_in_pack) = (vec![0; row.len()], vec![0; row.len()]);
    for item in heaviest_first {
        let open = (0..packs).filter(|&pack| sizes[pack] < row.len() / packs);
        let pack = open.min_by(|&a, &b| loads[a].total_cmp(&loads[b])).unwrap();
        (pack_index[item], rank_in_pack[item]) = (pack as i64, sizes[pack] as i64);
        loads[pack] += row[item];
        sizes[pack] += 1;
    }
    (pack_index, rank_in_pack)
}

/// LPT's scores, checked against the oracles to 1e-6.
fn scores(input: &CaseInput, packs: usize) -> Scores {
    let rows = &input.rows;
    let (mut pack_index, mut rank_in_pack) = (Vec::new(), Vec::new());
    for row in 0..rows.rows {
        let (packs_of_row, ranks_of_row) = lpt(rows.row(row), packs);
        pack_index.extend(packs_of_row);
        rank_in_pack.extend(ranks_of_row);
    }
    placement::verify(&pack_index, &rank_in_pack, rows.rows, rows.items, packs).unwrap();
    let by_torch = input.score(&pack_index);
    let plain = Scores::new(&placement::row_loads(rows, &pack_index, packs), &plain_bounds(rows, packs));
    let pairs = [
        (by_torch.mean_load, plain.mean_load),
        (by_torch.max_load, plain.max_load),
        (by_torch.bound, plain.bound),
        (1.0 + by_torch.worst_row_gap, 1.0 + plain.worst_row_gap),
    ];
    assert!(pairs.iter().all(|(one, other)| (one / other - 1.0).abs() < 1e-6), "{by_torch:?} and {plain:?}");
    by_torch
}

fn cases() -> [Case; 6] {
    let node = Case { source: Source::NodeReplicas, rows: 232, items: 72, packs: 8 };
    let global = |items, packs| Case { source: Source::GlobalReplicas, rows: 58, items, packs };
    let groups = Case { source: Source::Groups, rows: 58, items: 8, packs: 4 };
    [node, global(288, 32), global(320, 64), global(256, 32), global(256, 64), groups]
}

/// LPT's gap over all windows, in percent.
fn gap(case: &Case, topology: &Topology, pool: &Pool) -> f64 {
    let (mut max_load, mut bound) = (0.0, 0.0);
    for window in 0..pool.search.windows.len() {
        let scores = scores(&CaseInput::of_case(case, topology, pool.window(window), 1), case.packs);
        max_load += scores.max_load;
        bound += scores.bound;
    }
    100.0 * (max_load / bound - 1.0)
}

#[test]
fn the_baseline_has_the_published_gaps_on_real_loads() {
    let Some(folder) = real_loads() else { return };
    let topology = Topology::deepseek_v3();
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut loads: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "csv")).map(LoadsAt::here).collect();
    loads.sort_by(|a, b| a.name.cmp(&b.name));
    let pool =
        Pool::open(Some(&loads), &topology, PoolSize { search: None, held_out: 0, cases: 1, in_order: false }, 1)
            .unwrap();
    assert_eq!(pool.search.windows.len(), 8);
    for (case, published) in cases().iter().zip(PUBLISHED) {
        let gap = gap(case, &topology, &pool);
        println!("{case}: gap {gap:.4} %, published {published} %");
        assert!((gap - published).abs() < 0.002, "{case}: gap {gap} %, published {published} %");
    }
}

#[test]
fn made_up_loads_are_about_as_hard_to_pack_as_real_ones() {
    let topology = Topology::deepseek_v3();
    let pool =
        Pool::open(None, &topology, PoolSize { search: Some(4), held_out: 0, cases: 1, in_order: false }, 1).unwrap();
    for (case, real) in cases().iter().zip(PUBLISHED) {
        let gap = gap(case, &topology, &pool);
        println!("{case}: gap {gap:.4} %, on real loads {real} %");
        assert!((real / 2.0..=real * 2.0).contains(&gap), "{case}: gap {gap} %, on real loads {real} %");
    }
}
