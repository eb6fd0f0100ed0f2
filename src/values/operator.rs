//! Operator: one kind of edit that a proposer makes. The search counts and credits each one separately.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::Display;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Display, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Operator {
    /// Mutate: one number changed, a default value or any other.
    Constant,
    /// Mutate: two or three numbers changed.
    Constants,
    /// Mutate: a loop bound changed.
    LoopBound,
    /// Mutate: a statement deleted.
    Delete,
    /// Mutate: a statement repeated.
    Repeat,
    /// Mutate: a statement exchanged with the next one.
    Exchange,
    /// Mutate: another comparison.
    Comparison,
    /// Mutate: another arithmetic operator.
    Arithmetic,
    /// Mutate: a loop that ends once nothing is left to do.
    EarlyExit,
    /// Mutate: the type or the device of a tensor.
    Types,
    /// Mutate: an option of a function that Numba compiles.
    JitOption,
    /// Mutate: two nested loops exchanged.
    LoopOrder,
    /// Compose: a new program from blocks.
    Assemble,
    /// Compose: another value for the parameter of a block.
    Tune,
    /// Compose: a block replaced by another one.
    Swap,
    /// Compose: one more block.
    Add,
    /// Compose: one block fewer.
    Drop,
    /// Compose: the same blocks of another catalogue.
    Translate,
    /// Cross: a function of the second parent with all that it needs.
    Graft,
    /// Cross: the changes of both parents since their common ancestor.
    Merge,
    /// Prune: an edit of the lineage undone, in full or in part.
    Edit,
    /// Prune: functions and imports that nothing mentions, deleted.
    Dead,
    /// Prune: a statement or a branch deleted.
    Statement,
    /// Prune: a number with fewer digits.
    Round,
}

impl Operator {
    pub const MUTATE: [Self; 12] = [
        Self::Constant,
        Self::Constants,
        Self::LoopBound,
        Self::Delete,
        Self::Repeat,
        Self::Exchange,
        Self::Comparison,
        Self::Arithmetic,
        Self::EarlyExit,
        Self::Types,
        Self::JitOption,
        Self::LoopOrder,
    ];
    pub const COMPOSE: [Self; 6] = [Self::Assemble, Self::Tune, Self::Swap, Self::Add, Self::Drop, Self::Translate];
    pub const CROSS: [Self; 2] = [Self::Graft, Self::Merge];
    /// In the order of a pass.
    pub const PRUNE: [Self; 4] = [Self::Edit, Self::Dead, Self::Statement, Self::Round];
}
