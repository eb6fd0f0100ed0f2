//! PackEvolve's own plan file: the plan with what it was made from, so that it can be traced.

use packevolve_contract::plan::{Doubles, Plan};
use packevolve_contract::rebalance::Policy;
use packevolve_contract::topology::Topology;
use serde::{Deserialize, Serialize};

use crate::values::candidate::CommitId;
use crate::values::digest::Digest;
use crate::view::plans::layers::ModelLayers;
use crate::view::plans::written::{json, layers, rows};

/// Of [`Written`]; a reader refuses another one.
pub const FORMAT: u32 = 1;

/// What a plan was made from, and what it is worth on the loads that it was made from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Origin {
    /// The version of PackEvolve that made the plan.
    pub packevolve: String,
    /// Where the program comes from: a file, a candidate of a run, or PackEvolve itself.
    pub program: String,
    /// Of the text of the program.
    pub program_digest: Digest,
    /// The candidate, if it is one of a run.
    pub candidate: Option<u64>,
    pub run: Option<String>,
    /// Of the candidate in the archive of its run.
    pub commit: Option<CommitId>,
    /// The files of the loads.
    pub loads: Vec<String>,
    /// Of the loads, as float64 in little-endian order.
    pub loads_digest: Digest,
    pub policy: Policy,
    /// Sum of mean loads over sum of heaviest loads.
    pub balancedness: f64,
    pub doubles: Doubles,
}

/// What is read of a file.
#[derive(Deserialize)]
pub struct Written {
    pub packevolve_plan: u32,
    pub topology: Topology,
    /// The layer of the model that each row stands for, if that is known.
    pub layer_ids: Option<Vec<usize>>,
    /// `[layers, slots]`
    pub physical_to_logical_map: Vec<Vec<i64>>,
}

pub fn text(plan: &Plan, of_model: &ModelLayers, topology: &Topology, origin: &Origin) -> String {
    let (topology, ids, origin) = (json(topology), json(&of_model.ids()), json(origin));
    let rows = rows(layers(plan), "  ");
    format!(
        "{{\"packevolve_plan\": {FORMAT},\n\"origin\": {origin},\n\"topology\": {topology},\n\"layer_ids\": {ids},\n\
         \"physical_to_logical_map\": [\n{rows}\n]}}\n"
    )
}
