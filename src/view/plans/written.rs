//! How plan files are written: JSON with a line for each layer, so that people can read and compare them.

use packevolve_contract::plan::Plan;
use serde::Serialize;

/// The experts in the slots of a layer, in brackets.
pub fn row(slots: &[usize]) -> String {
    let experts: Vec<String> = slots.iter().map(usize::to_string).collect();
    format!("[{}]", experts.join(", "))
}

/// The rows of a plan, a line each, indented.
pub fn rows<'r>(rows: impl Iterator<Item = &'r [usize]>, indent: &str) -> String {
    rows.map(|slots| format!("{indent}{}", row(slots))).collect::<Vec<_>>().join(",\n")
}

/// The layers of a plan, in order.
pub fn layers(plan: &Plan) -> impl Iterator<Item = &[usize]> {
    (0..plan.layers()).map(|layer| plan.layer(layer))
}

pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("BUG: a plan is JSON")
}
