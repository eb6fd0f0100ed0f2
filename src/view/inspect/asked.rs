//! Asked: how often a run drew on each proposer and operator, and the outcomes.

use schemars::JsonSchema;
use serde::Serialize;

use crate::search::Search;
use crate::search::bandit::ProposerStats;
use crate::values::event::Proposer;
use crate::values::operator::Operator;
use crate::view::inspect::words::proposer_name;
use crate::view::table::Table;
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
    let operators = |proposer: Proposer| {
        let arms = search.operators(proposer).map_or(&[][..], |bandit| bandit.arms());
        arms.iter().map(|arm| AskedOperator { operator: arm.who, stats: arm.stats }).collect()
    };
    let arms = search.bandit().arms().iter().map(|arm| (arm.who, arm.stats));
    let pruned = search.pruning().stats().map(|stats| (Proposer::Prune, *stats));
    let asked = |(proposer, stats)| Asked {
        proposer,
        name: proposer_name(proposer, search),
        stats,
        operators: operators(proposer),
    };
    arms.chain(pruned).map(asked).collect()
}

/// Statistics as a table, with the operators in use below their proposer; tokens and money if there are language models.
pub fn asked_table(asked: &[Asked], terminal: &Terminal) -> String {
    let has_models = asked.iter().any(|asked| matches!(asked.proposer, Proposer::Model(_)));
    let header = "proposer|tried#|declined#|rejected#|incon-\nsistent#|outclassed#|admitted#|contenders#|judge s#";
    let header = if has_models { &format!("{header}|tokens#|$#") } else { header };
    let mut rows = Vec::new();
    for asked in asked {
        rows.push(stats_cells(asked.name.clone(), &asked.stats, has_models));
        let used = asked.operators.iter().filter(|operator| operator.stats.tried > 0);
        rows.extend(used.map(|one| stats_cells(format!("  {}", one.operator), &one.stats, has_models)));
    }
    // Early ends and contenders say least.
    Table::new(header, rows).expendable([7, 5, 4, 2]).draw(terminal)
}

fn stats_cells(name: String, stats: &ProposerStats, has_models: bool) -> Vec<String> {
    let ProposerStats { tried, declined, rejected, inconsistent, outclassed, admitted, contenders, .. } = *stats;
    let mut cells = vec![name];
    let counts = [tried, declined, rejected, inconsistent, outclassed, admitted, contenders];
    cells.extend(counts.map(|count| count.to_string()));
    cells.push(format!("{:.1}", stats.seconds));
    if has_models {
        cells.extend([stats.tokens.to_string(), format!("{:.4}", stats.nanodollars as f64 / 1e9)]);
    }
    cells
}
