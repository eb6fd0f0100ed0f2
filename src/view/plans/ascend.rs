//! vllm-ascend's `expert_map.json` (`expert_map_path`): the experts of each device, layer by layer. Layers with experts
//! are counted from 0; its loader goes by their order.

use packevolve_contract::plan::Plan;
use serde::{Deserialize, Serialize};

use crate::view::plans::written::json;

#[derive(Serialize, Deserialize)]
pub struct Written {
    pub moe_layer_count: usize,
    pub layer_list: Vec<Layer>,
}

#[derive(Serialize, Deserialize)]
pub struct Layer {
    #[serde(default)]
    layer_id: usize,
    pub device_count: usize,
    pub device_list: Vec<Device>,
}

#[derive(Serialize, Deserialize)]
pub struct Device {
    #[serde(default)]
    device_id: usize,
    pub device_expert: Vec<i64>,
}

pub fn text(plan: &Plan) -> String {
    let layers: Vec<String> = (0..plan.layers()).map(|layer| json(&of_layer(plan, layer))).collect();
    let (count, layers) = (plan.layers(), layers.join(",\n"));
    format!("{{\"moe_layer_count\": {count}, \"layer_list\": [\n{layers}\n]}}\n")
}

fn of_layer(plan: &Plan, layer_id: usize) -> Layer {
    let device = |(device_id, experts): (usize, &[usize])| Device {
        device_id,
        device_expert: experts.iter().map(|&expert| expert as i64).collect(),
    };
    let device_list = plan.gpus_of(layer_id).enumerate().map(device).collect();
    Layer { layer_id, device_count: plan.gpus(), device_list }
}
