//! TensorRT-LLM's `moe_config.load_balancer`: YAML with the experts of the slots by layer of the model.

use std::collections::BTreeMap;

use packevolve_contract::plan::Plan;
use serde::Deserialize;

use crate::view::plans::layers::ModelLayers;
use crate::view::plans::written::row;

/// Other keys, such as `ep_size`, say nothing about the plan.
#[derive(Deserialize)]
pub struct Written {
    pub num_slots: usize,
    pub initial_global_assignments: BTreeMap<usize, Vec<i64>>,
}

pub fn text(plan: &Plan, layers: &ModelLayers) -> String {
    let of_layer = |at: usize| format!("  {}: {}\n", layers.id(at), row(plan.layer(at)));
    let assignments: String = (0..plan.layers()).map(of_layer).collect();
    // The number of slots stands last, as TensorRT-LLM's own script writes it: a file that is cut off lacks it.
    let slots = plan.slots();
    format!("initial_global_assignments:\n{assignments}layer_updates_per_iter: 0\nnum_slots: {slots}\n")
}

/// The content of a file, or what is wrong with it, with line and column.
pub fn read(text: &str) -> Result<Written, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}
