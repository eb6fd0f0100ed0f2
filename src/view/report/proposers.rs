//! Proposers: the attempts of each proposer and operator, their outcomes and costs.

use std::collections::BTreeMap;

use packevolve_contract::evaluation::Evaluation;

use crate::search::{Candidate, Outcome};
use crate::values::candidate::CandidateId;
use crate::values::cost::Charge;
use crate::values::event::{Event, Proposer, RequestForm};
use crate::view::format::or_none;
use crate::view::inspect::proposer_name;
use crate::view::report::data::{ReportData, judge_seconds};
use crate::view::report::page::{Part, Section, Table};

pub fn section(data: &ReportData<'_>) -> Section {
    let records = records(data);
    let mut parts = Vec::new();
    if !records.is_empty() {
        parts.push(Part::Table(attempts(data, &records)));
        parts.extend(reasons(data, &records).map(Part::Table));
        parts.push(Part::Table(operators(data)));
    }
    Section { id: "proposers", title: "Proposers and operators", parts }
}

#[derive(Default)]
struct Record {
    tried: usize,
    outclassed: usize,
    inconsistent: usize,
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

impl Record {
    fn count(&mut self, event: &Event, data: &ReportData<'_>) {
        self.judge_seconds += judge_seconds(event);
        match event {
            Event::Selected { .. } => self.tried += 1,
            Event::ProposalDeclined { reason, .. } => *self.declined.entry(reason.into()).or_default() += 1,
            Event::ModelAsked(asked) => self.charge += asked.charge,
            // The one that takes its place counts.
            Event::CandidateEvaluated { candidate, partial: true, .. } if !data.known(*candidate).is_partial => {}
            Event::CandidateEvaluated { evaluation, .. } => match evaluation {
                Evaluation::Measured { .. } => self.measured += 1,
                Evaluation::Inconsistent { .. } => self.inconsistent += 1,
                Evaluation::Outclassed { .. } => self.outclassed += 1,
                Evaluation::Rejected { rejection, .. } => *self.rejected.entry(rejection.into()).or_default() += 1,
            },
            _ => {}
        }
    }
}

/// The records of all proposers that were used: the corpus first, then in the order of the bandit.
fn records(data: &ReportData<'_>) -> Vec<(Proposer, Record)> {
    let mut records: BTreeMap<Proposer, Record> = BTreeMap::new();
    let mut attempts: BTreeMap<u64, Proposer> = BTreeMap::new();
    for entry in data.entries {
        if let Event::Selected { attempt, selection } = &entry.event {
            attempts.insert(*attempt, selection.proposer);
        }
        if let Some(proposer) = proposer_of(&entry.event, data, &attempts) {
            records.entry(whole_corpus(proposer)).or_default().count(&entry.event, data);
        }
    }
    for proposer in data.front.iter().filter_map(|id| data.known(*id).proposer) {
        records.entry(whole_corpus(proposer)).or_default().front += 1;
    }
    for (_, known) in data.search.candidates() {
        if let (Some(proposer), Some(result)) = (known.proposer, &known.held_out) {
            let record = records.entry(whole_corpus(proposer)).or_default();
            record.confirmed += usize::from(result.confirmed);
            record.refuted += usize::from(!result.confirmed);
        }
    }
    let bandit = data.search.bandit().arms().iter().map(|arm| arm.who);
    let order = [Proposer::Corpus(0), Proposer::Person(0)].into_iter().chain(bandit).chain([Proposer::Prune]);
    order.filter_map(|proposer| Some((proposer, records.remove(&proposer)?))).collect()
}

/// The documents of the corpus count as one proposer, and so do those of a person.
fn whole_corpus(proposer: Proposer) -> Proposer {
    match proposer {
        Proposer::Corpus(_) => Proposer::Corpus(0),
        Proposer::Person(_) => Proposer::Person(0),
        proposer => proposer,
    }
}

fn proposer_of(event: &Event, data: &ReportData<'_>, attempts: &BTreeMap<u64, Proposer>) -> Option<Proposer> {
    match event {
        Event::Selected { selection, .. } => Some(selection.proposer),
        Event::ProposalDeclined { attempt, .. } => attempts.get(attempt).copied(),
        Event::ModelAsked(asked) => Some(Proposer::Model(asked.model)),
        Event::CandidateEvaluated { candidate, .. } | Event::DuelEnded { contender: candidate, .. } => {
            data.known(*candidate).proposer
        }
        _ => None,
    }
}

fn attempts(data: &ReportData<'_>, records: &[(Proposer, Record)]) -> Table {
    let has_models = !data.search.settings().llm.models.is_empty();
    let columns = "proposer|tried#|declined#|rejected#|inconsistent#|outclassed#|measured#|admitted#|on the front#|confirmed#|refuted#";
    let costs = if has_models { "judge s#|tokens#|$#" } else { "judge s#" };
    let caption = "The attempts of each proposer and their outcomes: admitted counts candidates with a place in a population, \
                   confirmed those that became the best";
    let mut table = Table::new(caption, &format!("{columns}|{costs}"));
    for (proposer, record) in records {
        let arm = data.search.bandit().arms().iter().find(|arm| arm.who == *proposer);
        let sum = |reasons: &BTreeMap<&str, usize>| reasons.values().sum::<usize>();
        let Record { tried, outclassed, inconsistent, measured, front, confirmed, refuted, charge, .. } = *record;
        let counts = [tried, sum(&record.declined), sum(&record.rejected), inconsistent, outclassed, measured];
        let mut cells = vec![proposer_name(*proposer, data.search)];
        cells.extend(counts.map(|count| count.to_string()));
        // The bandit does not draw from the corpus.
        cells.push(or_none(arm.map(|arm| arm.stats.admitted.to_string())));
        cells.extend([front, confirmed, refuted].map(|count| count.to_string()));
        cells.push(format!("{:.1}", record.judge_seconds));
        if has_models {
            cells.extend([charge.tokens().to_string(), format!("{:.4}", charge.dollars())]);
        }
        table.row(cells);
    }
    table
}

/// The reasons why proposals made no candidate and candidates got no score; `None` if there are none.
fn reasons(data: &ReportData<'_>, records: &[(Proposer, Record)]) -> Option<Table> {
    let mut table = Table::new("Declined and rejected, by reason", "proposer|what|reason|how many#");
    for (proposer, record) in records {
        for (what, reasons) in [("declined", &record.declined), ("rejected", &record.rejected)] {
            for (reason, count) in reasons {
                let name = proposer_name(*proposer, data.search);
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
        Some(Proposer::Model(_)) => known.form.unwrap_or(RequestForm::Edit).to_string(),
        _ => known.operator.map_or(String::new(), |operator| operator.to_string()),
    }
}

fn operators(data: &ReportData<'_>) -> Table {
    let mut made: BTreeMap<(String, String), [usize; 5]> = BTreeMap::new();
    for (id, known) in data.search.candidates() {
        let Some(proposer) = known.proposer.filter(|proposer| whole_corpus(*proposer) != Proposer::Corpus(0)) else {
            continue;
        };
        let score = |id: CandidateId| data.scores(id).map(|scores| scores.combined_score);
        let parent = known.parents.first().and_then(|parent| score(*parent));
        // In the order of the columns.
        let counts_as = [
            true,
            matches!(known.outcome, Some(Outcome::Measured(_))),
            score(id).zip(parent).is_some_and(|(own, parent)| own > parent),
            data.front.contains(&id),
            known.held_out.as_ref().is_some_and(|ruling| ruling.confirmed),
        ];
        let counts = made.entry((proposer_name(proposer, data.search), operator(known))).or_default();
        counts.iter_mut().zip(counts_as).for_each(|(count, counts)| *count += usize::from(counts));
    }
    let columns = "proposer|operator|candidates#|measured#|better than the parent#|on the front#|confirmed#";
    let mut table = Table::new("What the operators made", columns);
    for ((proposer, operator), counts) in made {
        table.row([proposer, operator].into_iter().chain(counts.map(|count| count.to_string())));
    }
    table
}
