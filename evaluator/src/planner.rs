//! Planner: the plan that DeepSeek's rebalance makes for a window, and what no plan for it can beat. With these a chain
//! begins, and with these it is compared; no program is asked for them.

use packevolve_contract::case::{self, Case};
use packevolve_contract::plan::Plan;
use packevolve_contract::topology::Topology;
use packevolve_loads::window::Window;

use crate::rows::Items;
use crate::tensor;
use crate::window::PoolWindow;

/// The plan of DeepSeek's rebalance: groups to nodes, greedy replication, and each replica, the heaviest first, to the
/// lightest GPU that is not full.
pub fn planned(window: &Window, topology: &Topology) -> Plan {
    let (case, items) = replicas(window, topology);
    let (rows, experts) = (items.weigh(window), items.experts());
    let of_row = |(row, experts): (usize, &[usize])| packed(rows.row(row), experts, case.packs);
    let phy2log: Vec<i64> = experts.chunks(case.items).enumerate().flat_map(of_row).collect();
    Plan::new(&phy2log, topology).expect("BUG: greedy replication keeps every expert")
}

/// Σ over layers of a lower bound on the heaviest GPU's load, tokens, of any plan with the replicas, and on the nodes, that
/// [`planned`] chooses.
pub fn floor(window: &Window, topology: &Topology) -> f64 {
    let (case, items) = replicas(window, topology);
    let bounds = tensor::bounds(&items.weigh(window), case.packs);
    let nodes = bounds.len() / topology.layers;
    bounds.chunks(nodes).map(|layer| layer.iter().copied().fold(0.0, f64::max)).sum()
}

/// The replicas of each node of each layer, or of each layer.
fn replicas(window: &Window, topology: &Topology) -> (Case, Items) {
    let case = case::unit(topology).pop().expect("BUG: a rebalance packs replicas");
    let window = PoolWindow { number: 0, now: window, next: None };
    let items = Items::of_case(&case, topology, window, 0);
    (case, items)
}

/// The experts of a row, pack by pack.
fn packed(weights: &[f64], experts: &[usize], packs: usize) -> Vec<i64> {
    let per_pack = weights.len() / packs;
    let mut heaviest_first: Vec<usize> = (0..weights.len()).collect();
    heaviest_first.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    let (mut loads, mut content) = (vec![0.0; packs], vec![Vec::with_capacity(per_pack); packs]);
    for item in heaviest_first {
        let lightest = (0..packs)
            .filter(|&pack| content[pack].len() < per_pack)
            .min_by(|&a, &b| f64::total_cmp(&loads[a], &loads[b]))
            .expect("BUG: the packs have room for all items");
        loads[lightest] += weights[item];
        content[lightest].push(experts[item] as i64);
    }
    content.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::Series;

    #[test]
    fn a_made_up_window_is_planned_as_well_as_deepseeks_planner_does_and_no_better_than_the_floor() {
        let hierarchical = Topology { layers: 6, ..Topology::deepseek_v3() };
        let global = Topology { groups: 1, ..hierarchical.clone() };
        let window = Series::new(&hierarchical, 3).window(0);
        let balance = |topology: &Topology| {
            let plan = planned(&window, topology);
            let loads = plan.loads(&window.counts);
            (plan, loads.balancedness(), loads.mean_gpu / floor(&window, topology))
        };
        let (_, reached, highest) = balance(&global);
        // FIELD.md, section 8: .9930 on real loads.
        assert!((0.985..=1.0).contains(&reached) && reached <= highest && highest > 0.999, "{reached} {highest}");
        let (plan, reached, highest) = balance(&hierarchical);
        plan.check_groups(&hierarchical).unwrap();
        assert!((0.7..0.95).contains(&reached) && reached <= highest && highest < 0.95, "{reached} {highest}");
    }

    #[test]
    fn the_heaviest_replica_goes_to_the_lightest_gpu_that_is_not_full() {
        assert_eq!(packed(&[4.0, 3.0, 2.0, 1.0], &[7, 5, 3, 1], 2), [7, 1, 5, 3]);
        assert_eq!(packed(&[9.0, 1.0, 1.0, 1.0], &[0, 1, 2, 3], 2), [0, 3, 1, 2]);
    }
}
