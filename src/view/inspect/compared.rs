//! Compared: the scores and figures of two candidates side by side.

use packevolve_contract::objective::{CaseScore, Scores};
use serde::Serialize;

use crate::view::format::{milliseconds, percent, signed};
use crate::view::inspect::lineage::Brought;
use crate::view::inspect::row::Row;
use crate::view::output::harmless;
use crate::view::table::{Column, Table};
use crate::view::terminal::{Terminal, Tone};

/// Two candidates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// One of them.
    pub a: Row,
    /// The other.
    pub b: Row,
    /// What the other has over it; `None` if one of them was not measured in full.
    pub brought: Option<Brought>,
}

impl Compared {
    /// The second against the first.
    pub fn new(a: Row, b: Row) -> Self {
        let brought = a.scores.as_ref().zip(b.scores.as_ref()).map(|(a, b)| Brought::between(a, b));
        Self { a, b, brought }
    }
}

/// Both candidates, a line each, and then figure by figure.
pub fn compared_table(compared: &Compared, terminal: &Terminal) -> String {
    let Compared { a, b, .. } = compared;
    let who = |row: &Row| {
        let origin = row.proposer.map_or(String::new(), |proposer| format!(", {proposer}"));
        terminal.cut(&format!(
            "{} {} [{}]{origin}, {}",
            row.candidate,
            harmless(&row.name),
            row.commit.short(),
            row.outcome
        ))
    };
    let heading = terminal.paint(Tone::Heading, &format!("{}\n{}", who(a), who(b)));
    match (&a.scores, &b.scores) {
        (Some(before), Some(after)) => format!("{heading}\n\n{}", figures(compared, before, after, terminal)),
        _ => format!("{heading}\n\nnothing to compare: one of them was not measured in full\n"),
    }
}

fn figures(compared: &Compared, before: &Scores, after: &Scores, terminal: &Terminal) -> String {
    let (a, b) = (compared.a.candidate.to_string(), compared.b.candidate.to_string());
    let header =
        [("", Column::Left), (a.as_str(), Column::Right), (b.as_str(), Column::Right), ("change", Column::Right)];
    let lines = score_lines(compared, before, after);
    let tones = lines.iter().map(|line| tone(&line[3])).collect::<Vec<_>>();
    let scores = Table::new(&header, lines).tones(tones).draw(terminal);
    let [gap, time] = ["gap %", "time ms"].map(|figure| [format!("{figure}\n{a}"), format!("\n{b}")]);
    let header = [
        ("case", Column::Left),
        (&gap[0], Column::Right),
        (&gap[1], Column::Right),
        ("\nchange", Column::Right),
        (&time[0], Column::Right),
        (&time[1], Column::Right),
        ("\nspeedup", Column::Right),
    ];
    let lines = after.cases.iter().map(|case| case_line(case, before)).collect();
    format!("{scores}\n\n{}\n", Table::new(&header, lines).draw(terminal))
}

fn score_lines(compared: &Compared, before: &Scores, after: &Scores) -> Vec<Vec<String>> {
    let line = |name: &str, old: Option<f64>, new: Option<f64>| {
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let change = old.zip(new).map_or(String::new(), |(old, new)| signed(new - old, 4));
        vec![name.to_owned(), figure(old), figure(new), change]
    };
    let held_out = |row: &Row| row.held_out.as_ref()?.scores.as_ref().map(|scores| scores.combined_score);
    let mut lines = vec![line("combined_score", Some(before.combined_score), Some(after.combined_score))];
    if held_out(&compared.a).or(held_out(&compared.b)).is_some() {
        lines.push(line("  on held-out windows", held_out(&compared.a), held_out(&compared.b)));
    }
    lines.push(line("quality", before.quality, after.quality));
    lines.push(line("speed_score", Some(before.speed_score), Some(after.speed_score)));
    lines.push(line("balancedness_score", Some(before.balancedness_score), Some(after.balancedness_score)));
    let time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), milliseconds);
    let speedup = before.unit_seconds.zip(after.unit_seconds).map(|(old, new)| format!("{:.2}x", old / new));
    lines.push(vec![
        "unit ms".to_owned(),
        time(before.unit_seconds),
        time(after.unit_seconds),
        speedup.unwrap_or_default(),
    ]);
    lines
}

fn tone(change: &str) -> Option<Tone> {
    match change.as_bytes().first()? {
        b'+' => Some(Tone::Good),
        b'-' => Some(Tone::Bad),
        _ => None,
    }
}

fn case_line(case: &CaseScore, before: &Scores) -> Vec<String> {
    let old = before.cases.iter().find(|old| old.case == case.case);
    let or_none = |text: Option<String>| text.unwrap_or("-".to_owned());
    vec![
        case.case.clone(),
        or_none(old.map(|old| percent(old.gap))),
        percent(case.gap),
        old.map_or(String::new(), |old| signed((case.gap - old.gap) * 100.0, 3)),
        or_none(old.map(|old| milliseconds(old.seconds))),
        milliseconds(case.seconds),
        old.map_or(String::new(), |old| format!("{:.2}x", case.speedup / old.speedup)),
    ]
}
