//! Verify: whether the outputs of a call keep the contract, and its input is unchanged.

use packevolve_contract::maps::Maps;
use packevolve_contract::plan::Plan;
use packevolve_contract::rebalance::Policy;
use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;

use crate::call::{Call, PlanInput};
use crate::placement;
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

/// Checks that the input is unchanged, to the bit; `place` names an index. The message names no load, because language
/// models read it.
fn check_input(input: &[f32], given: &[f32], place: impl Fn(usize) -> String) -> Result<(), Rejection> {
    match (0..given.len()).find(|&at| input[at].to_bits() != given[at].to_bits()) {
        Some(at) => Err(Rejection::MutatedInput { message: place(at) }),
        None => Ok(()),
    }
}
