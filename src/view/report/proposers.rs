//! Proposers: who was asked how often, what came of it, and what it cost.

use std::collections::BTreeMap;

use packevolve_contract::evaluation::Evaluation;

use crate::search::Outcome;
use crate::values::candidate::CandidateId;
use crate::values::cost::Charge;
use crate::values::event::{Event, Proposer};
use crate::view::inspect::model_name;
use crate::view::report::cast::NamedCandidates;
use crate::view::report::operator::operator;
use crate::view::report::page::{Block, Section, Table};

pub fn section(cast: &NamedCandidates<'_>) -> Section {
    let ledger = Ledger::of(cast);
    let mut blocks = Vec::new();
    if !ledger.accounts.is_empty() {
        blocks.push(Block::Table(asked(cast, &ledger)));
        blocks.extend(reasons(&ledger).map(Block::Table));
        blocks.push(Block::Table(operators(cast)));
    }
    Section { id: "proposers", title: "Proposers and operators", blocks }
}

/// What came of the attempts of one proposer.
#[derive(Default)]
struct Account {
    tried: usize,
    outclassed: usize,
    measured: usize,
    front: usize,
    confirmed: usize,
    refuted: usize,
    judge_seconds: f64,
    charge: Charge,
    /// Why attempts made no candidate, and candidates got no score.
    declined: BTreeMap<&'static str, usize>,
    rejected: BTreeMap<&'static str, usize>,
}

/// The accounts of all who were asked, the corpus first.
struct Ledger {
    accounts: BTreeMap<String, Account>,
    /// In which order they stand.
    order: Vec<String>,
}

impl Ledger {
    fn of(cast: &NamedCandidates<'_>) -> Self {
        let mut ledger = Self { accounts: BTreeMap::new(), order: Vec::new() };
        let mut proposers: Vec<Proposer> = vec![Proposer::Corpus(0)];
        proposers.extend(cast.search.bandit().arms().iter().map(|arm| arm.who));
        proposers.extend(cast.search.pruning().stats().map(|_| Proposer::Prune));
        ledger.order = proposers.into_iter().map(|proposer| name(cast, proposer)).collect();
        let mut attempts: BTreeMap<u64, Proposer> = BTreeMap::new();
        for entry in &cast.run.entries {
            ledger.see(cast, &entry.event, &mut attempts);
        }
        for id in &cast.front {
            if let Some(proposer) = cast.known(*id).proposer {
                ledger.of_proposer(cast, proposer).front += 1;
            }
        }
        ledger
    }

    fn of_proposer(&mut self, cast: &NamedCandidates<'_>, proposer: Proposer) -> &mut Account {
        self.accounts.entry(name(cast, proposer)).or_default()
    }

    fn see(&mut self, cast: &NamedCandidates<'_>, event: &Event, attempts: &mut BTreeMap<u64, Proposer>) {
        let proposer = |id: &CandidateId| cast.known(*id).proposer;
        match event {
            Event::Selected { attempt, selection } => {
                attempts.insert(*attempt, selection.proposer);
                self.of_proposer(cast, selection.proposer).tried += 1;
            }
            Event::ProposalDeclined { attempt, reason, .. } => {
                let Some(proposer) = attempts.get(attempt) else { return };
                *self.of_proposer(cast, *proposer).declined.entry(reason.into()).or_default() += 1;
            }
            Event::ModelAsked(asked) => self.of_proposer(cast, Proposer::Model(asked.model)).charge += asked.charge,
            Event::CandidateEvaluated { candidate, evaluation } => {
                let Some(proposer) = proposer(candidate) else { return };
                self.of_proposer(cast, proposer).judged(evaluation);
            }
            Event::Confirmed { candidate, measurement } => {
                let Some(proposer) = proposer(candidate) else { return };
                let account = self.of_proposer(cast, proposer);
                account.confirmed += 1;
                account.judge_seconds += measurement.evaluation_seconds;
            }
            Event::Refuted { candidate, evaluation } => {
                let Some(proposer) = proposer(candidate) else { return };
                let account = self.of_proposer(cast, proposer);
                account.refuted += 1;
                account.judge_seconds += seconds(evaluation);
            }
            _ => {}
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&String, &Account)> {
        self.order.iter().filter_map(|name| Some((name, self.accounts.get(name)?)))
    }
}

impl Account {
    fn judged(&mut self, evaluation: &Evaluation) {
        self.judge_seconds += seconds(evaluation);
        match evaluation {
            Evaluation::Measured { .. } => self.measured += 1,
            Evaluation::Outclassed { .. } => self.outclassed += 1,
            Evaluation::Rejected { rejection, .. } => *self.rejected.entry(rejection.into()).or_default() += 1,
        }
    }
}

fn seconds(evaluation: &Evaluation) -> f64 {
    evaluation.measurement().map_or(0.0, |measured| measured.evaluation_seconds)
}

fn name(cast: &NamedCandidates<'_>, proposer: Proposer) -> String {
    match proposer {
        Proposer::Model(model) => model_name(model, cast.search).to_owned(),
        proposer => proposer.to_string(),
    }
}

fn asked(cast: &NamedCandidates<'_>, ledger: &Ledger) -> Table {
    let has_models = !cast.search.settings().llm.models.is_empty();
    let names = ["tried#", "declined#", "rejected#", "outclassed#", "measured#", "admitted#", "on the front#"];
    let costs = ["confirmed#", "refuted#", "judge s#", "tokens#", "$#"];
    let costs = if has_models { &costs[..] } else { &costs[..3] };
    let columns = ["proposer"].iter().chain(&names).chain(costs);
    let caption = "What each proposer was asked, and what came of it: admitted is a place in a population, confirmed is to \
                   have become the best";
    let mut table = Table::new(caption, columns);
    for (name, account) in ledger.rows() {
        let arm = cast.search.bandit().arms().iter().find(|arm| self::name(cast, arm.who) == *name);
        let sum = |reasons: &BTreeMap<&str, usize>| reasons.values().sum::<usize>().to_string();
        let mut cells = vec![name.clone(), account.tried.to_string(), sum(&account.declined), sum(&account.rejected)];
        cells.extend([account.outclassed, account.measured].map(|count| count.to_string()));
        // The bandit keeps no account of the corpus, which it does not draw from.
        cells.push(crate::view::format::or_none(arm.map(|arm| arm.stats.admitted.to_string())));
        cells.extend([account.front, account.confirmed, account.refuted].map(|count| count.to_string()));
        cells.push(format!("{:.1}", account.judge_seconds));
        if has_models {
            cells.extend([account.charge.tokens().to_string(), format!("{:.4}", account.charge.dollars())]);
        }
        table.row(cells);
    }
    table
}

/// Why proposals made no candidate, and candidates got no score; `None` if none did.
fn reasons(ledger: &Ledger) -> Option<Table> {
    let mut table = Table::new("Declined and rejected, by reason", ["proposer", "what", "reason", "how many#"]);
    for (name, account) in ledger.rows() {
        for (what, reasons) in [("declined", &account.declined), ("rejected", &account.rejected)] {
            for (reason, count) in reasons {
                table.row([name.as_str(), what, &reason.replace('-', " "), &count.to_string()]);
            }
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

/// What came of the candidates of one operator.
#[derive(Default)]
struct Made {
    candidates: usize,
    measured: usize,
    front: usize,
    confirmed: usize,
    better: usize,
}

fn operators(cast: &NamedCandidates<'_>) -> Table {
    let mut made: BTreeMap<(String, &'static str), Made> = BTreeMap::new();
    for (id, known) in cast.search.candidates() {
        let Some(proposer) = known.proposer.filter(|proposer| !matches!(proposer, Proposer::Corpus(_))) else {
            continue;
        };
        let made = made.entry((name(cast, proposer), operator(known))).or_default();
        made.candidates += 1;
        made.measured += usize::from(matches!(known.outcome, Some(Outcome::Measured(_))));
        made.front += usize::from(cast.front.contains(&id));
        made.confirmed += usize::from(known.held_out.as_ref().is_some_and(|ruling| ruling.confirmed));
        let parent = known.parents.first().and_then(|parent| cast.scores(*parent));
        let better =
            cast.scores(id).zip(parent).is_some_and(|(own, parent)| own.combined_score > parent.combined_score);
        made.better += usize::from(better);
    }
    let columns =
        ["proposer", "operator", "candidates#", "measured#", "better than the parent#", "on the front#", "confirmed#"];
    let mut table = Table::new("What the operators made", columns);
    for ((proposer, operator), made) in made {
        let counts = [made.candidates, made.measured, made.better, made.front, made.confirmed];
        table.row([proposer, operator.to_owned()].into_iter().chain(counts.map(|count| count.to_string())));
    }
    table
}
