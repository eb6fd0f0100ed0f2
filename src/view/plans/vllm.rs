//! vLLM's initial map, in the two forms of its open pull requests: a JSON list of rows (49572, `initial_expert_map_path`),
//! and a JSON line with rows by layer (41141, `initial_mapping_path`). Both count the layers with experts from 0.

use std::collections::BTreeMap;

use packevolve_contract::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::view::plans::written::{json, layers, rows};

/// The line of the JSON Lines form. Other fields say nothing about the plan.
#[derive(Serialize, Deserialize)]
pub struct Line {
    pub record_type: String,
    version: u32,
    num_redundant_experts: usize,
    pub num_slots: usize,
    pub initial_global_assignments: BTreeMap<usize, Vec<i64>>,
}

/// The `record_type` of a plan.
pub const MAPPING: &str = "eplb_initial_mapping";

pub fn list(plan: &Plan) -> String {
    format!("[\n{}\n]\n", rows(layers(plan), "  "))
}

pub fn line(plan: &Plan) -> String {
    let of_layer = |(at, slots): (usize, &[usize])| (at, slots.iter().map(|&expert| expert as i64).collect());
    json(&Line {
        record_type: MAPPING.to_owned(),
        version: 1,
        num_redundant_experts: plan.slots() - plan.experts(),
        num_slots: plan.slots(),
        initial_global_assignments: layers(plan).enumerate().map(of_layer).collect(),
    }) + "\n"
}
