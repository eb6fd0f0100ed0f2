//! Verify: whether the outputs of a call keep the contract, and its input is unchanged.

use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;

use crate::child::Call;
use crate::placement;
use crate::plan::Plan;
use crate::shared::{Outputs, PlanOutputs};

/// Checks the placement of a call with these `weights`.
pub(super) fn check_placement(outputs: &Outputs, weights: &[f32], call: Call) -> Result<(), Rejection> {
    let Call { rows, items, packs, .. } = call;
    check_input(&outputs.input, weights, |at| format!("row {}, item {}", at / items, at % items))?;
    placement::verify(&outputs.pack_index, &outputs.rank_in_pack, rows, items, packs)
        .map_err(|error| Rejection::InvalidPlacement { message: error.to_string() })
}

/// Whether two calls returned the same placement.
pub(super) fn is_same(one: &Outputs, other: &Outputs) -> bool {
    (&one.pack_index, &one.rank_in_pack) == (&other.pack_index, &other.rank_in_pack)
}

/// Checks the plan of a rebalance with these `loads`.
pub(super) fn check_plan(outputs: &PlanOutputs, loads: &[f32], topology: &Topology) -> Result<Plan, Rejection> {
    let experts = topology.experts;
    check_input(&outputs.input, loads, |at| format!("layer {}, expert {}", at / experts, at % experts))?;
    Plan::verify(&outputs.maps, topology).map_err(|error| Rejection::InvalidRebalance { message: error.to_string() })
}

/// Checks that the input is unchanged, to the bit; `place` names an index.
fn check_input(input: &[f32], given: &[f32], place: impl Fn(usize) -> String) -> Result<(), Rejection> {
    match (0..given.len()).find(|&at| input[at].to_bits() != given[at].to_bits()) {
        Some(at) => {
            Err(Rejection::MutatedInput { message: format!("{}: {} became {}", place(at), given[at], input[at]) })
        }
        None => Ok(()),
    }
}
