//! Operator: the ways in which a proposer goes about it, each with an account and credit of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the things that a proposer can do to a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// Mutate: one number, a default or any other.
    Constant,
    /// Mutate: two numbers or three together.
    Constants,
    /// Mutate: a bound of a loop.
    LoopBound,
    /// Mutate: a statement left out.
    Delete,
    /// Mutate: a statement repeated.
    Repeat,
    /// Mutate: a statement and the next one, exchanged.
    Exchange,
    /// Mutate: another comparison.
    Comparison,
    /// Mutate: another arithmetic operator.
    Arithmetic,
    /// Mutate: a loop that ends when nothing is left to do.
    EarlyExit,
    /// Mutate: the type of a tensor, or where it is.
    Types,
    /// Compose: a program put together anew.
    Assemble,
    /// Compose: another value of a block's parameter.
    Tune,
    /// Compose: a block in place of another one.
    Swap,
    /// Compose: one block more.
    Add,
    /// Compose: one block less.
    Drop,
    /// Cross: a function of another program with what it needs.
    Graft,
    /// Cross: the changes of two programs since their ancestor.
    Merge,
    /// Prune: an edit of the lineage, or a part of one, undone.
    Edit,
    /// Prune: functions and imports that nothing mentions, left out.
    Dead,
    /// Prune: a statement or a branch, left out.
    Statement,
    /// Prune: a number with fewer digits.
    Round,
}

impl Operator {
    /// What `mutate` can do.
    pub const MUTATE: [Self; 10] = [
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
    ];
    /// What `compose` can do.
    pub const COMPOSE: [Self; 5] = [Self::Assemble, Self::Tune, Self::Swap, Self::Add, Self::Drop];
    /// What `cross` can do.
    pub const CROSS: [Self; 2] = [Self::Graft, Self::Merge];
    /// What `prune` can do, in the order in which it does it.
    pub const PRUNE: [Self; 4] = [Self::Edit, Self::Dead, Self::Statement, Self::Round];
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Constants => "constants",
            Self::LoopBound => "loop-bound",
            Self::Delete => "delete",
            Self::Repeat => "repeat",
            Self::Exchange => "exchange",
            Self::Comparison => "comparison",
            Self::Arithmetic => "arithmetic",
            Self::EarlyExit => "early-exit",
            Self::Types => "types",
            Self::Assemble => "assemble",
            Self::Tune => "tune",
            Self::Swap => "swap",
            Self::Add => "add",
            Self::Drop => "drop",
            Self::Graft => "graft",
            Self::Merge => "merge",
            Self::Edit => "edit",
            Self::Dead => "dead",
            Self::Statement => "statement",
            Self::Round => "round",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_by_the_word_that_stands_in_the_journal() {
        let all = [&Operator::MUTATE[..], &Operator::COMPOSE, &Operator::CROSS, &Operator::PRUNE].concat();
        for operator in &all {
            assert_eq!(serde_json::to_string(operator).unwrap(), format!("\"{operator}\""));
        }
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }
}
