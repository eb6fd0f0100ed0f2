//! Verify: whether the outputs of a call keep the contract, and its input is unchanged.

use packevolve_contract::maps::Maps;
use packevolve_contract::plan::Plan;
use packevolve_contract::rebalance::Policy;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;
use packevolve_loads::window::Window;

use crate::call::{Call, PlanInput};
use crate::placement;
use crate::planner;
use crate::shared::Outputs;

/// Checks the placement of a call with these `weights`.
pub(super) fn check_placement(outputs: &Outputs<2>, weights: &[f32], call: Call) -> Result<(), Rejection> {
    let Call { rows, items, packs, .. } = call;
    check_input(&outputs.input, weights, |at| format!("row {}, item {}", at / items, at % items))?;
    let [pack_index, rank_in_pack] = &outputs.arrays;
    placement::verify(pack_index, rank_in_pack, rows, items, packs)
        .map_err(|error| Rejection::InvalidPlacement { message: error.to_string() })
}

/// Checks the plan of a rebalance with this input.
pub(super) fn check_plan(outputs: Outputs<3>, input: &PlanInput, topology: &Topology) -> Result<Plan, Rejection> {
    let (experts, replicas) = (topology.experts, topology.replicas);
    let window = topology.layers * experts;
    // The plan in force is the end of the input; each of its entries takes the place of two loads.
    let before_plan = input.0.len().saturating_sub(2 * topology.layers * replicas);
    check_input(&outputs.input, &input.0, |at| {
        if at < window {
            return format!("layer {}, expert {}", at / experts, at % experts);
        }
        if at < before_plan {
            return format!("history, window {}, layer {}", at / window - 1, at % window / experts);
        }
        let slot = (at - before_plan) / 2;
        format!("old_phy2log, layer {}, replica {}", slot / replicas, slot % replicas)
    })?;
    let [phy2log, logcnt, log2phy] = outputs.arrays;
    let maps = Maps { columns: log2phy.len() / logcnt.len(), phy2log, log2phy, logcnt };
    maps.verify(topology).map_err(|error| Rejection::InvalidRebalance { message: error.to_string() })
}

/// Checks that the groups of a node stay together, where the topology asks for it.
pub(super) fn check_groups(plan: &Plan, policy: Policy, topology: &Topology) -> Result<(), Rejection> {
    match policy {
        Policy::Global => Ok(()),
        Policy::Hierarchical => {
            plan.check_groups(topology).map_err(|error| Rejection::InvalidRebalance { message: error.to_string() })
        }
    }
}

/// With nothing in force, a policy must reach this share of the balancedness of DeepSeek's planner. The message of
/// [`Rejection::PoorFreshPlan`] names it.
const LEAST_FRESH: f64 = 0.99;

/// Checks that a plan with nothing in force is about as balanced on `window`, from which it is made, as that of DeepSeek's
/// planner. An engine that starts or is scaled up serves such a plan, but no chain has one: without this check a poor one
/// would cost a policy nothing.
pub(super) fn check_fresh(plan: &Plan, window: &Window, topology: &Topology) -> Result<(), Rejection> {
    let [balancedness, planner] =
        [plan, &planner::planned(window, topology)].map(|plan| plan.loads(&window.counts).balancedness());
    if balancedness < LEAST_FRESH * planner {
        return Err(Rejection::PoorFreshPlan { balancedness, planner });
    }
    Ok(())
}

/// Checks that the input is unchanged, to the bit; `place` names an index. The message names no load, because language
/// models read it.
fn check_input(input: &[f32], given: &[f32], place: impl Fn(usize) -> String) -> Result<(), Rejection> {
    match (0..given.len()).find(|&at| input[at].to_bits() != given[at].to_bits()) {
        Some(at) => Err(Rejection::MutatedInput { message: place(at) }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_plan_may_be_a_hundredth_less_balanced_than_the_one_of_deepseeks_planner() {
        let topology = Topology { layers: 1, experts: 4, groups: 1, nodes: 1, gpus: 2, replicas: 4 };
        let fresh = |phy2log: [i64; 4], loads: [f64; 4]| {
            check_fresh(&Plan::new(&phy2log, &topology).unwrap(), &Window::new(4, loads.to_vec()), &topology)
        };
        // The planner puts the heaviest and the lightest on one GPU, 200 on each.
        assert_eq!(fresh([0, 3, 1, 2], [103.0, 101.0, 99.0, 97.0]), Ok(()));
        assert_eq!(fresh([0, 2, 1, 3], [101.0, 101.0, 99.0, 99.0]), Ok(()));
        assert_eq!(fresh([0, 1, 2, 3], [101.0, 101.0, 99.0, 99.0]), Ok(()), "200 of 202 are .9901");
        let poor = fresh([0, 1, 2, 3], [103.0, 101.0, 99.0, 97.0]);
        assert_eq!(poor, Err(Rejection::PoorFreshPlan { balancedness: 200.0 / 204.0, planner: 1.0 }));
        assert_eq!(fresh([0, 1, 2, 3], [0.0; 4]), Ok(()), "no loads at all");
    }
}
