//! Inspect: runs, candidates and evaluations for people and as JSON. Only reads.
//!
#![doc = include_str!("../../cli/help/json.md")]

mod row;
mod words;
mod asked;
mod evaluated;
mod lineage;
mod compared;

pub use asked::{Asked, asked, asked_table};
pub use compared::{Compared, compared_table};
pub use evaluated::{
    Adrs, Evaluated, Scored, consistency_text, evaluated_text, evidence_text, scores_text, torch_text,
};
pub use lineage::{Ancestor, Lineage, ScoreGain};
pub use row::{HeldOutRow, Row, closing, device_name, rows_table, top};
pub use words::{
    asking_again_text, charge_text, duel_result_text, event_line, event_text, event_tone, proposer_name, unusable_text,
};

/// Version of the shape of all JSON documents. It rises when a field goes or changes its meaning; fields may be added at any
/// time.
pub const FORMAT: u32 = 1;
