//! Inspect: what a run, a candidate or an evaluation looks like, for people and as JSON. Only reads.

use packevolve_contract::adrs::AdrsScores;
use packevolve_contract::case::Case;
use packevolve_contract::comparison::Comparison;
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::protocol::Ready;
use packevolve_contract::rebalance::RebalanceScore;
use packevolve_contract::rejection::Evidence;
use serde::Serialize;

use crate::candidate::{CandidateId, CommitId};
use crate::charge::Charge;
use crate::event::{Asking, Event, ModelAsked, Proposer, StopReason};
use crate::figures::{self, milliseconds, percent, quartiles};
use crate::journal::Entry;
use crate::llm_error::Scope;
use crate::operator::Operator;
use crate::output::harmless;
use crate::search::bandit::Account;
use crate::search::{Known, Search, Verdict};
use crate::table::{Column, draw};

/// A candidate in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its number.
    pub candidate: CandidateId,
    /// NAME of its proposal.
    pub name: String,
    /// Where its proposal came from.
    pub proposer: Option<Proposer>,
    /// What it is an edit of.
    pub parents: Vec<CandidateId>,
    /// Its commit.
    pub commit: CommitId,
    /// `waiting`, `measured`, `outclassed` or `rejected`.
    pub outcome: &'static str,
    /// Its scores, if it was measured in full; after a refutation those of all windows together.
    pub scores: Option<Scores>,
    /// What came of it on the windows that are held out from the search, if it looked like the best.
    pub held_out: Option<HeldOutRow>,
}

/// What a candidate is worth on windows that the search had not seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldOutRow {
    /// Whether it became the best.
    pub confirmed: bool,
    /// Its scores there; `None` if it was rejected there.
    pub scores: Option<Scores>,
}

impl Row {
    /// Of a candidate of a run.
    pub fn of(candidate: CandidateId, known: &Known) -> Self {
        let (outcome, scores) = match &known.verdict {
            None => ("waiting", None),
            Some(Verdict::Measured(scores)) => ("measured", Some((**scores).clone())),
            Some(Verdict::Outclassed) => ("outclassed", None),
            Some(Verdict::Rejected) => ("rejected", None),
        };
        Self {
            candidate,
            name: known.name.clone(),
            proposer: known.proposer,
            parents: known.parents.clone(),
            commit: known.commit,
            outcome,
            scores,
            held_out: known
                .ruling
                .as_ref()
                .map(|ruling| HeldOutRow { confirmed: ruling.confirmed, scores: ruling.scores.as_deref().cloned() }),
        }
    }
}

/// The `count` candidates of a run with the highest scores, best first; behind them the best of the run, if it is not one
/// of them.
pub fn top(search: &Search, count: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = search.candidates().map(|(id, known)| Row::of(id, known)).collect();
    let score = |row: &Row| row.scores.as_ref().map_or(f64::NEG_INFINITY, |scores| scores.combined_score);
    rows.retain(|row| row.scores.is_some());
    rows.sort_by(|a, b| score(b).total_cmp(&score(a)).then(a.candidate.cmp(&b.candidate)));
    let best = search.best().and_then(|best| rows.iter().position(|row| row.candidate == best.candidate));
    let beyond = best.filter(|at| *at >= count).map(|at| rows[at].clone());
    rows.truncate(count);
    rows.extend(beyond);
    rows
}

/// The seed program, what the corpus made, and the best candidate: the closing table of a run.
pub fn closing(search: &Search) -> Vec<Row> {
    let best = search.best().map(|best| best.candidate);
    let is_named = |known: &Known| matches!(known.proposer, None | Some(Proposer::Corpus(_)));
    search
        .candidates()
        .filter(|(id, known)| is_named(known) || Some(*id) == best)
        .map(|(id, known)| Row::of(id, known))
        .collect()
}

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
    /// The same for each thing that it can do; empty where it can do one thing only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<AskedOperator>,
}

/// What an operator was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AskedOperator {
    /// Which one.
    pub operator: Operator,
    /// How often, and how that ended. Where it had nothing to propose another one stood in for it: both are counted.
    #[serde(flatten)]
    pub account: Account,
}

/// The accounts of all proposers that are drawn from, and of `prune`.
pub fn asked(search: &Search) -> Vec<Asked> {
    let name = |proposer: Proposer| match proposer {
        Proposer::Model(model) => model_name(model, search).to_owned(),
        _ => proposer.to_string(),
    };
    let operators = |proposer: Proposer| {
        let arms = search.operators(proposer).map_or(&[][..], |bandit| bandit.arms());
        arms.iter().map(|arm| AskedOperator { operator: arm.who, account: arm.account }).collect()
    };
    let asked = |proposer: Proposer, account: Account| Asked {
        proposer,
        name: name(proposer),
        account,
        operators: operators(proposer),
    };
    let arms = search.bandit().arms().iter().map(|arm| (arm.who, arm.account));
    let pruned = search.pruning().account().map(|account| (Proposer::Prune, *account));
    arms.chain(pruned).map(|(proposer, account)| asked(proposer, account)).collect()
}

/// Accounts as a table, under each proposer what it can do and was asked; tokens and money where there are language models.
pub fn asked_table(asked: &[Asked]) -> String {
    let names = ["tried", "declined", "rejected", "outclassed", "admitted", "contenders", "judge s"];
    let mut header = vec![("proposer", Column::Left)];
    header.extend(names.map(|name| (name, Column::Right)));
    let has_models = asked.iter().any(|asked| matches!(asked.proposer, Proposer::Model(_)));
    header.extend(["tokens", "$"].into_iter().filter(|_| has_models).map(|name| (name, Column::Right)));
    let mut rows = Vec::new();
    for asked in asked {
        rows.push(account_cells(asked.name.clone(), &asked.account, has_models));
        let used = asked.operators.iter().filter(|operator| operator.account.tried > 0);
        rows.extend(used.map(|one| account_cells(format!("  {}", one.operator), &one.account, has_models)));
    }
    draw(&header, &rows)
}

fn account_cells(name: String, account: &Account, has_models: bool) -> Vec<String> {
    let Account { tried, declined, rejected, outclassed, admitted, contenders, seconds, tokens, nanodollars } =
        *account;
    let mut cells = vec![name];
    cells.extend([tried, declined, rejected, outclassed, admitted, contenders].map(|count| count.to_string()));
    cells.push(format!("{seconds:.1}"));
    let costs = [tokens.to_string(), format!("{:.4}", nanodollars as f64 / 1e9)];
    cells.extend(costs.into_iter().filter(|_| has_models));
    cells
}

/// Rows as a table: a gap in percent for each case that has one to close, the time of the unit, the scores. Names are
/// long and of any length, so they stand last.
pub fn rows_table(rows: &[Row], cases: &[Case], best: Option<CandidateId>) -> String {
    let shown = |name: &String| {
        let quality = |row: &Row| case_of(row, name).is_some_and(|case| case.quality.is_some());
        rows.iter().any(quality)
    };
    let names: Vec<String> = cases.iter().map(ToString::to_string).filter(shown).collect();
    let headings: Vec<String> = names.iter().map(|name| format!("gap %\n{}", name.replace(' ', "\n"))).collect();
    let mut header = vec![("#", Column::Right), ("balanced-\nness", Column::Right)];
    header.extend(headings.iter().map(|name| (name.as_str(), Column::Right)));
    header.extend(["unit\nms", "quality", "speed", "combined"].map(|name| (name, Column::Right)));
    let held_out = rows.iter().any(|row| row.held_out.is_some());
    if held_out {
        header.push(("held\nout", Column::Left));
    }
    header.push(("name", Column::Left));
    let lines: Vec<Vec<String>> = rows.iter().map(|row| row_cells(row, &names, best, held_out)).collect();
    draw(&header, &lines)
}

fn row_cells(row: &Row, cases: &[String], best: Option<CandidateId>, held_out: bool) -> Vec<String> {
    let mark = if Some(row.candidate) == best { "*" } else { "" };
    let mut cells = vec![format!("{mark}{}", row.candidate)];
    let Some(scores) = &row.scores else {
        cells.push(row.outcome.to_owned());
        cells.resize(cases.len() + 6, String::new());
        cells.extend(held_out.then(|| held_out_cell(row)));
        cells.push(row.name.clone());
        return cells;
    };
    cells.push(format!("{:.4}", scores.balancedness_score));
    cells.extend(cases.iter().map(|name| case_of(row, name).map_or(String::new(), |case| percent(case.gap))));
    cells.push(scores.unit_seconds.map_or(String::new(), milliseconds));
    cells.push(scores.quality.map_or("-".to_owned(), |quality| format!("{quality:.4}")));
    cells.push(format!("{:.4}", scores.speed_score));
    cells.push(format!("{:.4}", scores.combined_score));
    cells.extend(held_out.then(|| held_out_cell(row)));
    let flag = if scores.deterministic == Some(false) { " (not deterministic)" } else { "" };
    cells.push(format!("{}{flag}", row.name));
    cells
}

fn held_out_cell(row: &Row) -> String {
    match &row.held_out {
        None => String::new(),
        Some(HeldOutRow { scores: None, .. }) => "rejected".to_owned(),
        Some(HeldOutRow { scores: Some(scores), confirmed: true }) => format!("{:.4}", scores.combined_score),
        Some(HeldOutRow { scores: Some(scores), confirmed: false }) => format!("{:.4} refuted", scores.combined_score),
    }
}

fn case_of<'a>(row: &'a Row, name: &str) -> Option<&'a CaseScore> {
    row.scores.as_ref()?.cases.iter().find(|case| case.case == name)
}

/// An evaluated program, as `packevolve evaluate` tells it. The shape of its JSON is part of the interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluated {
    /// Version of this shape.
    pub format: u32,
    /// The program's path.
    pub program: String,
    /// What scores are relative to.
    pub against: String,
    /// What it was measured with.
    pub judge: Ready,
    /// The score preset that was asked for: `packevolve` or `adrs`.
    pub score: &'static str,
    /// `None` if it was rejected.
    pub scores: Option<Scores>,
    /// `rebalance_experts` of what scores are relative to.
    pub rebalance_against: Vec<RebalanceScore>,
    /// The published scores of both; `None` unless they were asked for and can be computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adrs: Option<Adrs>,
    /// Both held against each other; `None` unless that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// All raw samples, or the rejection with its evidence.
    pub evaluation: Evaluation,
}

/// The published scores of a program and of what it is held against.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Adrs {
    /// The program's.
    pub program: AdrsScores,
    /// The other's, if it has them.
    pub against: Option<AdrsScores>,
}

/// An evaluation as text: a line a case, then the scores; or why it was rejected.
pub fn evaluated_text(evaluated: &Evaluated, cases: &[Case]) -> String {
    let Ready { device, device_name, torch, windows, real_windows, .. } = &evaluated.judge;
    let head = format!(
        "{} on {device} ({device_name}, torch {torch}), {windows} windows of loads, {real_windows} of them as given\n\n",
        evaluated.program
    );
    match (&evaluated.scores, &evaluated.evaluation) {
        (Some(scores), Evaluation::Measured { measurement }) => {
            let parts = [
                scores_text(scores, measurement, cases, &evaluated.against),
                rebalance_text(evaluated, scores),
                comparison_text(evaluated),
                adrs_text(evaluated),
            ];
            head + &parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
        }
        (_, Evaluation::Rejected { rejection, evidence }) => {
            format!("{head}rejected: it {}\n{}", harmless(&rejection.to_string()), evidence_text(evidence))
        }
        _ => head,
    }
}

/// `rebalance_experts` of the program and of what it is held against.
fn rebalance_text(evaluated: &Evaluated, scores: &Scores) -> String {
    let mut sides = vec![(evaluated.program.as_str(), &scores.rebalance)];
    if evaluated.against != evaluated.program {
        sides.push((&evaluated.against, &evaluated.rebalance_against));
    }
    figures::rebalance(&sides)
}

fn comparison_text(evaluated: &Evaluated) -> String {
    let Some(comparison) = &evaluated.comparison else { return String::new() };
    figures::comparison(comparison, &evaluated.program, &evaluated.against)
}

fn adrs_text(evaluated: &Evaluated) -> String {
    match &evaluated.adrs {
        Some(adrs) => {
            let against = adrs.against.map(|scores| (evaluated.against.as_str(), scores));
            let sides: Vec<_> = std::iter::once((evaluated.program.as_str(), adrs.program)).chain(against).collect();
            figures::adrs(&sides)
        }
        None if evaluated.score == "adrs" => {
            "score preset adrs: no score, it needs a rebalance_experts and two windows of loads\n".to_owned()
        }
        None => String::new(),
    }
}

/// Scores as a table of cases and a line of totals.
pub fn scores_text(scores: &Scores, measurement: &Measurement, cases: &[Case], against: &str) -> String {
    let header = [
        ("case", Column::Left),
        ("rows", Column::Right),
        ("windows", Column::Right),
        ("balanced-\nness", Column::Right),
        ("on the next\nwindow", Column::Right),
        ("gap %", Column::Right),
        ("worst\nrow %", Column::Right),
        ("time ms,\nmedian", Column::Right),
        ("\nquartiles", Column::Right),
        ("speedup", Column::Right),
        ("quality", Column::Right),
    ];
    let rows: Vec<Vec<String>> = scores.cases.iter().map(|score| case_cells(score, cases)).collect();
    let quality = scores.quality.map_or("none, no case has a gap to close".to_owned(), |q| format!("{q:.4}"));
    let unit = scores.unit_seconds.map_or("not measured".to_owned(), |s| format!("{} ms", milliseconds(s)));
    format!(
        "{}\n\nbalancedness_score {:.6}   quality {quality}   speed_score {:.4}   combined_score {:.4}\n\
         unit (all packing calls of one rebalance) {unit}   first call {} ms   peak memory {} MiB\n{}\
         quality and speed are relative to {against}\n",
        draw(&header, &rows),
        scores.balancedness_score,
        scores.speed_score,
        scores.combined_score,
        milliseconds(measurement.first_call_seconds),
        measurement.peak_memory_bytes >> 20,
        determinism_text(measurement),
    )
}

fn determinism_text(measurement: &Measurement) -> String {
    match (measurement.deterministic, &measurement.differs_in) {
        (Some(false), call) => {
            let call = call.as_deref().unwrap_or("a call");
            format!("NOT deterministic: {call} was answered differently when it was made again with the same seed\n")
        }
        (Some(true), _) => "deterministic: a call that was made again was answered as before\n".to_owned(),
        (None, _) => String::new(),
    }
}

fn case_cells(score: &CaseScore, cases: &[Case]) -> Vec<String> {
    let rows = cases.iter().find(|case| case.to_string() == score.case).map_or(String::new(), |c| c.rows.to_string());
    vec![
        score.case.clone(),
        rows,
        score.windows.to_string(),
        format!("{:.6}", score.balancedness),
        score.next_balancedness.map_or("-".to_owned(), |next| format!("{next:.6}")),
        format!("{:.4}", score.gap * 100.0),
        percent(score.worst_row_gap),
        milliseconds(score.seconds),
        quartiles(score.seconds_quartiles),
        format!("{:.2}x", score.speedup),
        score.quality.map_or("-".to_owned(), |quality| format!("{quality:.4}")),
    ]
}

/// What was seen when a candidate was rejected.
pub fn evidence_text(evidence: &Evidence) -> String {
    let mut text = format!("during: {}\n", evidence.during);
    for (name, part) in [("traceback", &evidence.traceback), ("it printed", &evidence.output)] {
        if !part.is_empty() {
            text += &format!("{name}:\n{}\n", harmless(part.trim_end()));
        }
    }
    text
}

/// An event in a line, for `log`.
pub fn event_line(entry: &Entry<Event>, search: &Search) -> String {
    format!("{:>5}  {:>9.2}s  {}", entry.seq, entry.time, event_text(&entry.event, search))
}

/// An event in words. `search` is the state right after it.
pub fn event_text(event: &Event, search: &Search) -> String {
    let name = |id: CandidateId| search.candidate(id).map_or("?", |known| known.name.as_str());
    match event {
        Event::RunStarted(started) => format!(
            "started from {} on {} ({}), rng_seed {}, {} proposals in the corpus",
            started.file_name,
            started.judge.device,
            started.judge.device_name,
            started.settings.rng_seed,
            started.corpus.len()
        ),
        Event::BaselineEvaluated { measurement } => {
            format!("baseline measured in {:.1} s", measurement.evaluation_seconds)
        }
        Event::BaselineHeldOut { measurement } => {
            format!("baseline measured on the held-out windows in {:.1} s", measurement.evaluation_seconds)
        }
        Event::Selected { attempt, selection } => {
            let operator = selection.operator.map_or_else(String::new, |operator| format!(" ({operator})"));
            format!("attempt {attempt}: {}{operator} on candidate {}", selection.proposer, selection.parent)
        }
        Event::ModelAsked(asked) => asked_text(asked, search),
        Event::ModelPaused { model, error } if error.scope() == Scope::Settings => {
            format!("{} is switched off: {error}", model_name(*model, search))
        }
        Event::ModelPaused { model, error } => format!("{} pauses: {error}", model_name(*model, search)),
        Event::ModelResumed { model } => format!("{} is asked again", model_name(*model, search)),
        Event::ProposalDeclined { attempt, reason, .. } => {
            format!("attempt {attempt} declined: {}", harmless(&reason.to_string()))
        }
        Event::CandidateCreated(created) => format!(
            "candidate {} made by attempt {}: {} [{}]",
            created.candidate,
            created.attempt,
            created.name,
            created.commit.short()
        ),
        Event::CandidateEvaluated { candidate, evaluation } => {
            format!("candidate {candidate} ({}) {}", name(*candidate), outcome_text(evaluation, search))
        }
        Event::Confirmed { candidate, .. } | Event::Refuted { candidate, .. } => {
            format!("candidate {candidate} ({}) {}", name(*candidate), ruling_text(event, search))
        }
        Event::RunStopped { reason } => stop_text(*reason),
        Event::RunResumed { candidates } => format!("resumed, up to {candidates} candidates"),
    }
}

/// A language model by the name that the settings give it.
pub fn model_name(model: usize, search: &Search) -> &str {
    search.started().settings.llm.models.get(model).map_or("?", |model| model.name.as_str())
}

fn asked_text(asked: &ModelAsked, search: &Search) -> String {
    let name = model_name(asked.model, search);
    let what = match asked.asking {
        Asking::Proposal(attempt) => format!("for attempt {attempt}"),
        Asking::Summary => "for a summary".to_owned(),
    };
    let outcome = asked.error.as_ref().map_or("answered".to_owned(), ToString::to_string);
    format!("{name} asked {what}, {}: {outcome}", charge_text(asked.charge))
}

/// What something cost.
pub fn charge_text(charge: Charge) -> String {
    format!("{} tokens, ${:.4}", charge.tokens(), charge.dollars())
}

fn stop_text(reason: StopReason) -> String {
    format!("stopped: {reason}")
}

fn ruling_text(event: &Event, search: &Search) -> String {
    let scores = |measurement| search.held_out_scores(measurement).map_or(0.0, |scores| scores.combined_score);
    let size = |id: CandidateId| search.candidate(id).map_or(0, |known| known.size);
    let is_cut = |id: CandidateId| search.candidate(id).is_some_and(|known| known.cut.is_some());
    match event {
        Event::Confirmed { candidate, measurement } if is_cut(*candidate) => {
            let parent = search.candidate(*candidate).and_then(|known| known.parents.first().copied());
            let (before, after) = (parent.map_or(0, size), size(*candidate));
            let score = scores(measurement);
            format!("is the best: {after} tokens in place of {before}, and {score:.4} on the held-out windows")
        }
        Event::Confirmed { measurement, .. } => {
            format!("is the best: confirmed with {:.4} on the held-out windows", scores(measurement))
        }
        Event::Refuted { evaluation: Evaluation::Measured { measurement }, .. } => {
            format!("is not the best: refuted with {:.4} on the held-out windows", scores(measurement))
        }
        Event::Refuted { evaluation: Evaluation::Rejected { rejection, .. }, .. } => {
            format!("is rejected on the held-out windows: it {}", harmless(&rejection.to_string()))
        }
        _ => unreachable!("BUG: no ruling, or one that the search refuses"),
    }
}

fn outcome_text(evaluation: &Evaluation, search: &Search) -> String {
    match evaluation {
        Evaluation::Measured { measurement } => {
            let scores = search.scores(measurement);
            scores.map_or("measured".to_owned(), |scores| format!("scores {:.4}", scores.combined_score))
        }
        Evaluation::Outclassed { at_best, .. } => format!("outclassed: {at_best:.4} was to be expected at best"),
        Evaluation::Rejected { rejection, .. } => format!("rejected: it {}", harmless(&rejection.to_string())),
    }
}
