//! Planner: the plan that DeepSeek's rebalance makes for a window, and what no plan for it can beat. With these a chain
//! begins, and with these its steps are compared; no program is asked for them.

use packevolve_contract::case::{self, Case};
use packevolve_contract::chain::{GpuLoads, PlannerStep};
use packevolve_contract::moves::Moves;
use packevolve_contract::plan::Plan;
use packevolve_contract::rebalance::PlanLoads;
use packevolve_contract::topology::Topology;
use packevolve_loads::window::Window;

use crate::chains::Chain;
use crate::rows::Items;
use crate::tensor;
use crate::window::PoolWindow;

/// With what a step of a chain is compared, of any program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    pub planner: PlannerStep,
    /// What no plan beats that is made for the window that the step serves: [`floor`].
    pub floor: f64,
}

/// A chain with the marks of its steps.
pub struct Course {
    pub chain: Chain,
    pub marks: Vec<Mark>,
}

impl Course {
    pub fn new(chain: Chain, topology: &Topology) -> Self {
        let marks = marks(&chain.windows, topology);
        Self { chain, marks }
    }
}

/// The marks of the steps of a chain: in each the planner starts from its plan for the window before.
fn marks(windows: &[Window], topology: &Topology) -> Vec<Mark> {
    let mut in_force = planned(&windows[0], topology);
    let mark = |now_and_next: &[Window]| {
        let [now, next] = now_and_next else { unreachable!("BUG: pairs of windows") };
        let plan = planned(now, topology);
        let busiest_gpu = Moves::between(&in_force, &plan).busiest_gpu;
        let planner = PlannerStep { served: gpu_loads(&plan.loads(&next.counts)), busiest_gpu };
        in_force = plan;
        Mark { planner, floor: floor(next, topology) }
    };
    windows[1..].windows(2).map(mark).collect()
}

pub fn gpu_loads(loads: &PlanLoads) -> GpuLoads {
    GpuLoads { mean: loads.mean_gpu, max: loads.max_gpu }
}

/// The plan of DeepSeek's rebalance: groups to nodes, greedy replication, and each replica, the heaviest first, to the
/// lightest GPU that is not full. Where each node has one group, or each GPU one slot, all stay in their order.
pub fn planned(window: &Window, topology: &Topology) -> Plan {
    let (case, items) = replicas(window, topology);
    let (rows, experts) = (items.weigh(window), items.experts());
    let mut nodes: Vec<(usize, &[usize])> = experts.chunks(case.items).enumerate().collect();
    let of_layer = nodes.len() / topology.layers;
    if of_layer == topology.groups {
        nodes.chunks_mut(of_layer).for_each(|nodes| nodes.sort_by_key(|(_, experts)| experts[0]));
    }
    let of_node = |(row, experts): (usize, &[usize])| packed(rows.row(row), experts, case.packs);
    let phy2log: Vec<i64> = nodes.into_iter().flat_map(of_node).collect();
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
    if per_pack == 1 {
        return experts.iter().map(|expert| *expert as i64).collect();
    }
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
    fn a_step_is_compared_with_a_plan_for_its_window_that_serves_the_next_one() {
        let topology = Topology { layers: 6, ..Topology::deepseek_v3() };
        let series = Series::new(&topology, 3);
        let windows = [0, 1, 1, 2].map(|number| series.window(number));
        let marks = marks(&windows, &topology);
        let [first, second] = marks[..] else { panic!("{marks:?}") };
        let plan = planned(&windows[1], &topology);
        assert_eq!(
            [first, second].map(|mark| mark.planner.served),
            [&windows[2], &windows[3]].map(|served| gpu_loads(&plan.loads(&served.counts)))
        );
        let moved = Moves::between(&planned(&windows[0], &topology), &plan).busiest_gpu;
        assert_eq!([first, second].map(|mark| mark.planner.busiest_gpu), [moved, 0]);
        assert!(moved > 0 && second.floor == floor(&windows[3], &topology));
    }

    #[test]
    fn the_heaviest_replica_goes_to_the_lightest_gpu_that_is_not_full() {
        assert_eq!(packed(&[4.0, 3.0, 2.0, 1.0], &[7, 5, 3, 1], 2), [7, 1, 5, 3]);
        assert_eq!(packed(&[9.0, 1.0, 1.0, 1.0], &[0, 1, 2, 3], 2), [0, 3, 1, 2]);
        assert_eq!(packed(&[1.0, 9.0], &[0, 1], 2), [0, 1]);
    }

    #[test]
    fn a_node_with_a_single_group_keeps_it() {
        let topology = Topology { layers: 2, experts: 8, groups: 2, nodes: 2, gpus: 4, replicas: 12 };
        let window = Window::new(
            8,
            [[1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0, 6.0], [9.0, 8.0, 7.0, 6.0, 1.0, 2.0, 3.0, 4.0]].concat(),
        );
        let plan = planned(&window, &topology);
        for layer in 0..2 {
            let (first, second) = plan.layer(layer).split_at(6);
            assert!(first.iter().all(|expert| *expert < 4) && second.iter().all(|expert| *expert >= 4), "{plan:?}");
        }
    }
}
