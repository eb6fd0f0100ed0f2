//! SGLang's `--init-expert-location`: a row for every hidden layer, dense ones too. Its reader passes the whole object on
//! as arguments, so it takes no other key.

use packevolve_contract::plan::Plan;
use serde::Deserialize;

use crate::view::plans::layers::ModelLayers;
use crate::view::plans::written::rows;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub physical_to_logical_map: Vec<Vec<i64>>,
}

pub fn text(plan: &Plan, layers: &ModelLayers) -> String {
    // What its `init_trivial` places, which has no effect in a dense layer.
    let trivial: Vec<usize> = (0..plan.slots()).map(|slot| slot % plan.experts()).collect();
    let all = (0..layers.hidden()).map(|layer| layers.row(layer).map_or(&trivial[..], |row| plan.layer(row)));
    format!("{{\"physical_to_logical_map\": [\n{}\n]}}\n", rows(all, "  "))
}
