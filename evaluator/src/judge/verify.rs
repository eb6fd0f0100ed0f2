//! Verify: whether the outputs of a call keep the contract, and its input is unchanged.

use packevolve_contract::rejection::Rejection;
use packevolve_contract::topology::Topology;

use crate::call::Call;
use crate::placement;
use crate::plan::{Maps, Plan};
use crate::shared::Outputs;

/// Checks the placement of a call with these `weights`.
pub(super) fn check_placement(outputs: &Outputs<2>, weights: &[f32], call: Call) -> Result<(), Rejection> {
    let Call { rows, items, packs, .. } = call;
    check_input(&outputs.input, weights, |at| format!("row {}, item {}", at / items, at % items))?;
    let [pack_index, rank_in_pack] = &outputs.arrays;
    placement::verify(pack_index, rank_in_pack, rows, items, packs)
        .map_err(|error| Rejection::InvalidPlacement { message: error.to_string() })
}

/// Checks the plan of a rebalance with these `loads`.
pub(super) fn check_plan(outputs: Outputs<3>, loads: &[f32], topology: &Topology) -> Result<Plan, Rejection> {
    let experts = topology.experts;
    check_input(&outputs.input, loads, |at| format!("layer {}, expert {}", at / experts, at % experts))?;
    let [phy2log, logcnt, log2phy] = outputs.arrays;
    let maps = Maps { columns: log2phy.len() / logcnt.len(), phy2log, log2phy, logcnt };
    Plan::verify(&maps, topology).map_err(|error| Rejection::InvalidRebalance { message: error.to_string() })
}

/// Checks that the input is unchanged, to the bit; `place` names an index. The message names no load, because language
/// models read it.
fn check_input(input: &[f32], given: &[f32], place: impl Fn(usize) -> String) -> Result<(), Rejection> {
    match (0..given.len()).find(|&at| input[at].to_bits() != given[at].to_bits()) {
        Some(at) => Err(Rejection::MutatedInput { message: place(at) }),
        None => Ok(()),
    }
}
