//! Proposers: the attempts of each proposer and operator, their outcomes and costs.

use std::collections::BTreeMap;

use packevolve_contract::evaluation::Evaluation;

use crate::search::{Candidate, Outcome};
use crate::values::candidate::CandidateId;
use crate::values::cost::Charge;
use crate::values::event::{Event, Proposer, RequestForm};
use crate::view::inspect::model_name;
use crate::view::report::cast::NamedCandidates;
use crate::view::report::page::{Block, Section, Table};

pub fn section(cast: &NamedCandidates<'_>) -> Section {
    let ledger = Ledger::of(cast);
    let mut blocks = Vec::new();
    if !ledger.tallies.is_empty() {
        blocks.push(Block::Table(asked(cast, &ledger)));
        blocks.extend(reasons(&ledger).map(Block::Table));
        blocks.push(Block::Table(operators(cast)));
    }
    Section { id: "proposers", title: "Proposers and operators", blocks }
}

/// The outcomes of one proposer's attempts.
#[derive(Default)]
struct Tally {
    tried: usize,
    outclassed: usize,
    measured: usize,
    front: usize,
    confirmed: usize,
    refuted: usize,
    judge_seconds: f64,
    charge: Charge,
    /// By the reason that attempts made no candidate, or that candidates got no score.
    declined: BTreeMap<&'static str, usize>,
    rejected: BTreeMap<&'static str, usize>,
}

/// The tallies of all proposers.
struct Ledger {
    tallies: BTreeMap<String, Tally>,
    /// The names in the order of the rows, the corpus first.
    order: Vec<String>,
}

impl Ledger {
    fn of(cast: &NamedCandidates<'_>) -> Self {
        let mut ledger = Self { tallies: BTreeMap::new(), order: Vec::new() };
        let mut proposers: Vec<Proposer> = vec![Proposer::Corpus(0)];
        proposers.extend(cast.search.bandit().arms().iter().map(|arm| arm.who));
        proposers.extend(cast.search.pruning().stats().map(|_| Proposer::Prune));
        ledger.order = proposers.into_iter().map(|proposer| name(cast, proposer)).collect();
        let mut attempts: BTreeMap<u64, Proposer> = BTreeMap::new();
        for entry in cast.entries {
            ledger.see(cast, &entry.event, &mut attempts);
        }
        for id in &cast.front {
            if let Some(proposer) = cast.known(*id).proposer {
                ledger.of_proposer(cast, proposer).front += 1;
            }
        }
        ledger
    }

    fn of_proposer(&mut self, cast: &NamedCandidates<'_>, proposer: Proposer) -> &mut Tally {
        self.tallies.entry(name(cast, proposer)).or_default()
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

    fn rows(&self) -> impl Iterator<Item = (&String, &Tally)> {
        self.order.iter().filter_map(|name| Some((name, self.tallies.get(name)?)))
    }
}

impl Tally {
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
    let caption = "The attempts of each proposer and their outcomes: admitted counts candidates with a place in a population, \
                   confirmed those that became the best";
    let mut table = Table::new(caption, columns);
    for (name, account) in ledger.rows() {
        let arm = cast.search.bandit().arms().iter().find(|arm| self::name(cast, arm.who) == *name);
        let sum = |reasons: &BTreeMap<&str, usize>| reasons.values().sum::<usize>().to_string();
        let mut cells = vec![name.clone(), account.tried.to_string(), sum(&account.declined), sum(&account.rejected)];
        cells.extend([account.outclassed, account.measured].map(|count| count.to_string()));
        // The bandit does not draw from the corpus.
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

/// The reasons why proposals made no candidate and candidates got no score; `None` if there are none.
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

/// The operator of a candidate, or the form of the request to its language model.
fn operator(known: &Candidate) -> String {
    match known.proposer {
        Some(Proposer::Model(_)) if known.repairs > 0 => "repair".to_owned(),
        Some(Proposer::Model(_)) => match known.form {
            Some(RequestForm::Rewrite) => "rewrite".to_owned(),
            Some(RequestForm::Crossover) => "crossover".to_owned(),
            Some(RequestForm::Edit) | None => "edit".to_owned(),
        },
        _ => known.operator.map_or(String::new(), |operator| operator.to_string()),
    }
}

/// The outcomes of one operator's candidates.
#[derive(Default)]
struct Made {
    candidates: usize,
    measured: usize,
    front: usize,
    confirmed: usize,
    better: usize,
}

fn operators(cast: &NamedCandidates<'_>) -> Table {
    let mut made: BTreeMap<(String, String), Made> = BTreeMap::new();
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
        table.row([proposer, operator].into_iter().chain(counts.map(|count| count.to_string())));
    }
    table
}
