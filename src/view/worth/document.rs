//! Document: figures and verdict together.

use schemars::JsonSchema;
use serde::Serialize;

use crate::view::inspect::FORMAT;
use crate::view::worth::figures::{Compared, Figures, Tried};
use crate::view::worth::verdict::{StepTime, Verdict, judged};

/// The output of `packevolve worth --format json`. Its shape is part of the interface.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WorthJson {
    format: u32,
    pub verdict: Verdict,
    #[serde(flatten)]
    pub figures: Figures,
}

/// What the plans that were tried are worth.
pub fn worth(compared: &Compared<'_>, tried: &[Tried], step: Option<StepTime>) -> WorthJson {
    let figures = compared.figures(tried);
    WorthJson { format: FORMAT, verdict: judged(&figures, step), figures }
}
