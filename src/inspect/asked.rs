//! Asked: what the proposers of a run were asked, and what came of it.

use serde::Serialize;

use super::model_name;
use crate::event::Proposer;
use crate::search::Search;
use crate::search::bandit::Account;
use crate::table::{Column, Table};
use crate::terminal::Terminal;

/// What a proposer was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// Who.
    pub proposer: Proposer,
    /// What it is called: of a language model, its name in the settings.
    pub name: String,
    /// How often, and how that ended.
    #[serde(flatten)]
    pub account: Account,
}

/// The accounts of all proposers that are drawn from.
pub fn asked(search: &Search) -> Vec<Asked> {
    let name = |proposer: Proposer| match proposer {
        Proposer::Model(model) => model_name(model, search).to_owned(),
        _ => proposer.to_string(),
    };
    let arms = search.bandit().arms().iter();
    arms.map(|arm| Asked { proposer: arm.proposer, name: name(arm.proposer), account: arm.account }).collect()
}

/// Accounts as a table; tokens and money where there are language models.
pub fn asked_table(asked: &[Asked], terminal: &Terminal) -> String {
    let names = ["tried", "declined", "rejected", "outclassed", "admitted", "contenders", "judge s"];
    let mut header = vec![("proposer", Column::Left)];
    header.extend(names.map(|name| (name, Column::Right)));
    let has_models = asked.iter().any(|asked| matches!(asked.proposer, Proposer::Model(_)));
    header.extend(["tokens", "$"].into_iter().filter(|_| has_models).map(|name| (name, Column::Right)));
    let cells = |asked: &Asked| {
        let Account { tried, declined, rejected, outclassed, admitted, contenders, .. } = asked.account;
        let counts = [tried, declined, rejected, outclassed, admitted, contenders].map(|count| count.to_string());
        let mut cells = vec![asked.name.clone()];
        cells.extend(counts);
        cells.push(format!("{:.1}", asked.account.seconds));
        let costs = [asked.account.tokens.to_string(), format!("{:.4}", asked.account.nanodollars as f64 / 1e9)];
        cells.extend(costs.into_iter().filter(|_| has_models));
        cells
    };
    // Of what became of them, early ends and contenders say least.
    Table::new(&header, asked.iter().map(cells).collect()).expendable([6, 4, 2]).draw(terminal)
}
