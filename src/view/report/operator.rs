//! Operator: the operator that made a candidate, in words.

use crate::search::Candidate;
use crate::values::event::{Proposer, RequestForm};
use crate::values::operator::Operator;

/// Empty for a candidate of the corpus.
pub fn operator(known: &Candidate) -> &'static str {
    match known.proposer {
        Some(Proposer::Model(_)) if known.repairs > 0 => "a rejected one repaired",
        Some(Proposer::Model(_)) => match known.form {
            Some(RequestForm::Rewrite) => "rewrite",
            Some(RequestForm::Crossover) => "crossover",
            Some(RequestForm::Edit) | None => "edit",
        },
        _ => known.operator.map_or("", in_words),
    }
}

fn in_words(operator: Operator) -> &'static str {
    match operator {
        Operator::Constant => "a constant changed",
        Operator::Constants => "constants changed",
        Operator::LoopBound => "the bound of a loop changed",
        Operator::Delete => "a statement left out",
        Operator::Repeat => "a statement repeated",
        Operator::Exchange => "statements exchanged",
        Operator::Comparison => "another comparison",
        Operator::Arithmetic => "another operator",
        Operator::EarlyExit => "an early exit",
        Operator::Types => "another type or device",
        Operator::Assemble => "assembled from blocks",
        Operator::Tune => "a parameter changed",
        Operator::Swap => "a block exchanged",
        Operator::Add => "a block added",
        Operator::Drop => "a block left out",
        Operator::Graft => "a function taken over",
        Operator::Merge => "both programs' changes merged",
        Operator::Edit => "an edit undone",
        Operator::Dead => "dead code left out",
        Operator::Statement => "a needless statement left out",
        Operator::Round => "a number with fewer digits",
    }
}
