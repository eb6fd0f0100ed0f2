//! Asked: how often a run drew on each proposer and operator, and the outcomes.

use schemars::JsonSchema;
use serde::Serialize;

use crate::search::Search;
use crate::search::bandit::ProposerStats;
use crate::values::event::Proposer;
use crate::values::operator::Operator;
use crate::view::inspect::words::model_name;
use crate::view::table::{Column, Table};
use crate::view::terminal::Terminal;

/// A proposer's attempts and their outcomes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Asked {
    pub proposer: Proposer,
    /// Of a language model, its name in the settings.
    pub name: String,
    /// Counts of attempts by outcome, and their costs.
    #[serde(flatten)]
    pub stats: ProposerStats,
    /// The same for each of its operators; empty if it has only one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<AskedOperator>,
}

/// An operator's attempts and their outcomes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AskedOperator {
    pub operator: Operator,
    /// Counts of attempts by outcome, and their costs. If another operator stood in for this one, both count the attempt.
    #[serde(flatten)]
    pub stats: ProposerStats,
}

/// The statistics of all proposers of the bandit, and of `prune`.
pub fn asked(search: &Search) -> Vec<Asked> {
    let name = |proposer: Proposer| match proposer {
        Proposer::Model(model) => model_name(model, search).to_owned(),
        _ => proposer.to_string(),
    };
    let operators = |proposer: Proposer| {
        let arms = search.operators(proposer).map_or(&[][..], |bandit| bandit.arms());
        arms.iter().map(|arm| AskedOperator { operator: arm.who, stats: arm.stats }).collect()
    };
    let asked = |proposer: Proposer, stats: ProposerStats| Asked {
        proposer,
        name: name(proposer),
        stats,
        operators: operators(proposer),
    };
    let arms = search.bandit().arms().iter().map(|arm| (arm.who, arm.stats));
    let pruned = search.pruning().stats().map(|stats| (Proposer::Prune, *stats));
    arms.chain(pruned).map(|(proposer, stats)| asked(proposer, stats)).collect()
}

/// Statistics as a table, with the operators in use below their proposer; tokens and money if there are language models.
pub fn asked_table(asked: &[Asked], terminal: &Terminal) -> String {
    let names = ["tried", "declined", "rejected", "outclassed", "admitted", "contenders", "judge s"];
    let mut header = vec![("proposer", Column::Left)];
    header.extend(names.map(|name| (name, Column::Right)));
    let has_models = asked.iter().any(|asked| matches!(asked.proposer, Proposer::Model(_)));
    header.extend(["tokens", "$"].into_iter().filter(|_| has_models).map(|name| (name, Column::Right)));
    let mut rows = Vec::new();
    for asked in asked {
        rows.push(stats_cells(asked.name.clone(), &asked.stats, has_models));
        let used = asked.operators.iter().filter(|operator| operator.stats.tried > 0);
        rows.extend(used.map(|one| stats_cells(format!("  {}", one.operator), &one.stats, has_models)));
    }
    // Early ends and contenders say least.
    Table::new(&header, rows).expendable([6, 4, 2]).draw(terminal)
}

fn stats_cells(name: String, stats: &ProposerStats, has_models: bool) -> Vec<String> {
    let ProposerStats { tried, declined, rejected, outclassed, admitted, contenders, seconds, tokens, nanodollars } =
        *stats;
    let mut cells = vec![name];
    cells.extend([tried, declined, rejected, outclassed, admitted, contenders].map(|count| count.to_string()));
    cells.push(format!("{seconds:.1}"));
    let costs = [tokens.to_string(), format!("{:.4}", nanodollars as f64 / 1e9)];
    cells.extend(costs.into_iter().filter(|_| has_models));
    cells
}
