//! Gained: the result of the run: gaps and times of the best against the seed program, the given proposals and the lower
//! bound.

use packevolve_contract::objective::{CaseScore, Scores};
use packevolve_contract::policy::PolicyScore;
use packevolve_contract::serving::Lost;

use crate::values::candidate::CandidateId;
use crate::view::format::{self, milliseconds, or_none, percent, score, time, times};
use crate::view::gain::{CASES, Gain};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Scale};
use crate::view::report::data::ReportData;
use crate::view::report::page::{Figure, Key, Part, Section, Table, Tile, arrow};

/// The figure draws smaller gaps as this one: a logarithmic axis has no 0.
const LEAST_GAP: f64 = 1e-5;

pub fn section(data: &ReportData<'_>) -> Section {
    Section { id: "gained", title: "What was gained", parts: parts(data) }
}

fn parts(data: &ReportData<'_>) -> Vec<Part> {
    if data.search.baseline().is_none() {
        return vec![Part::Paragraph("The run has not measured anything yet.".to_owned())];
    }
    let mut parts = Vec::new();
    match Gain::of(data.search).filter(|_| data.best.is_some()) {
        Some(gain) => {
            parts.push(Part::Paragraph(lead(&gain)));
            parts.push(Part::Tiles(tiles(data, &gain)));
            parts.push(Part::Table(
                gain.policy().map_or_else(|| held_out_table(&gain), |policy| lost_table(&gain, policy)),
            ));
            parts.extend(rebalances(&gain).map(Part::Table));
        }
        None => {
            let text = "The run has not found a better program than the seed program yet.";
            parts.push(Part::Paragraph(text.to_owned()));
        }
    }
    if !data.search.origin().cases.is_empty() && (data.best.is_some() || !data.corpus.is_empty()) {
        parts.push(Part::Figure(figure(data, &GAPS)));
        parts.push(Part::Figure(figure(data, &TIMES)));
    }
    parts
}

fn lead(gain: &Gain) -> String {
    let Gain { candidate, name, .. } = gain;
    format!("The best program is candidate {candidate}, {name}, compared with the baseline {}.", gain.windows())
}

fn tiles(data: &ReportData<'_>, gain: &Gain) -> Vec<Tile> {
    if let Some(policy) = gain.policy() {
        return policy_tiles(gain, policy);
    }
    let mut tiles = Vec::new();
    if let Some((before, after)) = gain.unit() {
        let note = format!("{} as fast", times(before / after));
        let name = "All packing calls of one rebalance";
        tiles.push(Tile { name, before: time(before), after: time(after), note });
    }
    if let Some((before, after)) = data.mean_gap(&gain.baseline).zip(data.mean_gap(&gain.best)) {
        let cases = data.counting.len();
        let note = format!("heaviest pack above its bound, mean of {cases} cases");
        let [before, after] = [before, after].map(|gap| format!("{} %", percent(gap)));
        tiles.push(Tile { name: "Gap to the lower bound", before, after, note });
    }
    tiles.extend(rebalance_tile(gain));
    let note = "0 is the baseline; 1 is provably optimal packing at a thousand times its speed".to_owned();
    let after = score(gain.best.combined_score);
    tiles.push(Tile { name: "combined_score", before: String::new(), after, note });
    tiles
}

/// What a policy loses, balances and moves.
fn policy_tiles(gain: &Gain, policy: &PolicyScore) -> Vec<Tile> {
    let mut tiles = Vec::new();
    if let Some(baseline) = &gain.baseline.policy {
        let throughput = |lost: &Lost| format!("{} %", percent(policy.prices.share_of_throughput(lost.total())));
        tiles.push(Tile {
            name: "Throughput lost",
            before: throughput(&policy.baseline_lost),
            after: throughput(&policy.lost),
            note: format!("{} % of what can be won was won", percent(policy.won)),
        });
        let tile = |name, figure: fn(&PolicyScore) -> String, note: &str| Tile {
            name,
            before: figure(baseline),
            after: figure(policy),
            note: note.to_owned(),
        };
        let served = |policy: &PolicyScore| format!("{:.4}", policy.served_balancedness);
        tiles.push(tile("Balancedness served", served, "on the window after the one that was planned for"));
        let moved = |policy: &PolicyScore| format!("{} %", percent(policy.moved));
        tiles.push(tile("Replicas moved", moved, "of all replicas, for each plan"));
        tiles.push(tile("Planning", |policy| time(policy.normalised_seconds), "mean time of a call"));
    }
    let note = "0 is DeepSeek's planner; 1 cannot be reached, because loads drift".to_owned();
    let after = score(gain.best.combined_score);
    tiles.push(Tile { name: "combined_score", before: String::new(), after, note });
    tiles
}

/// The parts of what is lost.
fn lost_table(gain: &Gain, policy: &PolicyScore) -> Table {
    let caption = format!(
        "Seconds lost in a window of {} s by candidate {} and by the baseline: DeepSeek's planner on the same windows",
        policy.prices.window, gain.candidate
    );
    let mut table = Table::new(&caption, "part|baseline, s#|best, s#|best, % of throughput#");
    let parts = |lost: &Lost| {
        [
            ("imbalance served", lost.imbalance),
            ("transfer", lost.transfer),
            ("planning", lost.planning),
            ("in all", lost.total()),
        ]
    };
    for ((name, before), (_, after)) in parts(&policy.baseline_lost).into_iter().zip(parts(&policy.lost)) {
        let share = percent(policy.prices.share_of_throughput(after));
        table.row([name.to_owned(), format!("{before:.3}"), format!("{after:.3}"), share]);
    }
    table
}

/// The first policy is that of the unit.
fn rebalance_tile(gain: &Gain) -> Option<Tile> {
    let (before, after) = gain.baseline.rebalance.first().zip(gain.best.rebalance.first())?;
    let [old, new] = [before.balancedness, after.balancedness];
    let note = format!("{} as fast; balancedness {old:.4} → {new:.4}", times(after.speedup?));
    let name = "A whole rebalance of the experts";
    Some(Tile { name, before: time(before.normalised_seconds), after: time(after.normalised_seconds), note })
}

fn rebalances(gain: &Gain) -> Option<Table> {
    let caption = "Whole rebalances, by the hierarchical policy and the global one";
    let mut table = Table::new(caption, format::REBALANCE);
    for cells in format::rebalance_rows(&gain.rebalances()) {
        let is_best = cells.last().is_some_and(|program| program == "best");
        table.row(cells).is_best = is_best;
    }
    (!table.rows.is_empty()).then_some(table)
}

fn held_out_table(gain: &Gain) -> Table {
    let caption = format!("Candidate {} against the baseline, case by case (items→packs)", gain.candidate);
    let mut table = Table::new(caption, CASES);
    for mut cells in gain.case_rows() {
        cells[0] = arrow(&cells[0]);
        table.row(cells);
    }
    table
}

struct CaseFigure {
    title: &'static str,
    drawn: fn(&CaseScore) -> f64,
    written: fn(&CaseScore) -> String,
    label: &'static str,
    caption: &'static str,
    table: &'static str,
}

const GAPS: CaseFigure = CaseFigure {
    title: "gap to the lower bound, % (less is better)",
    drawn: |case| case.gap.max(LEAST_GAP) * 100.0,
    written: |case| percent(case.gap),
    label: "Gap to the lower bound in each case: the best, the given proposals and the seed program",
    caption: "How far the heaviest pack is above its provable lower bound, on the windows of the search. A gap of 0 is drawn at \
              0.001 %, as this axis has no 0.",
    table: "Gap in % for each case, on the windows of the search",
};

const TIMES: CaseFigure = CaseFigure {
    title: "time of a call, ms (less is better)",
    drawn: |case| case.normalised_seconds * 1e3,
    written: |case| milliseconds(case.normalised_seconds),
    label: "Time of a call in each case: the best, the given proposals and the seed program",
    caption: "Mean time of a packing call, normalised by the reference program, on the windows of the search.",
    table: "Time of a call in ms for each case, on the windows of the search",
};

fn figure(data: &ReportData<'_>, compared: &CaseFigure) -> Figure {
    let cases: Vec<String> = data.search.origin().cases.iter().map(ToString::to_string).collect();
    let row = |case: &str| -(cases.iter().position(|known| known == case).unwrap_or(0) as f64);
    let at = |ids: &[CandidateId]| -> Vec<(f64, f64)> {
        let scores = ids.iter().filter_map(|id| data.scores(*id));
        scores.flat_map(|scores| &scores.cases).map(|case| ((compared.drawn)(case), row(&case.case))).collect()
    };
    let points = |ink, mark, ids: &[CandidateId]| Layer::Points { ink, mark, at: at(ids) };
    let layers = vec![
        points(Ink::TEXT, Mark::Ring, &[CandidateId::SEED]),
        points(Ink::SECOND, Mark::Triangle, &data.corpus),
        points(Ink::BEST, Mark::Diamond, data.best.as_slice()),
    ];
    let chart =
        Chart { x: Axis::new(compared.title, Scale::Log), y: Axis::rows(cases.iter().map(|case| arrow(case))), layers };
    let height = 64 + 26 * cases.len() as u32;
    let mut figure = Figure::new(&chart, [height, height], compared.label, table(data, compared, &cases));
    figure.keys = keys(data);
    figure.caption = compared.caption.to_owned();
    figure
}

fn keys(data: &ReportData<'_>) -> Vec<Key> {
    let best = Key { mark: "◆", class: "k-best", means: "the best".to_owned() };
    let given = Key { mark: "▲", class: "k-second", means: "the given proposals".to_owned() };
    let seed = Key { mark: "○", class: "k-text", means: "the seed program".to_owned() };
    let is_there = [data.best.is_some(), !data.corpus.is_empty(), true];
    [best, given, seed].into_iter().zip(is_there).filter(|(_, is_there)| *is_there).map(|(key, _)| key).collect()
}

fn table(data: &ReportData<'_>, compared: &CaseFigure, cases: &[String]) -> Table {
    let columns: String = cases.iter().map(|case| format!("{}#|", arrow(case))).collect();
    let mut table = Table::new(compared.table, &format!("program|{columns}unit, ms#|combined_score#"));
    if compared.title == GAPS.title {
        let bound = cases.iter().map(|_| percent(0.0));
        table.row(["lower bound".to_owned()].into_iter().chain(bound).chain([String::new(), String::new()]));
    }
    for id in data.best.into_iter().chain(data.corpus.iter().copied()).chain([CandidateId::SEED]) {
        let Some(scores) = data.scores(id) else { continue };
        let mut cells = vec![data.marked_name(id)];
        cells.extend(cases.iter().map(|case| case_of(scores, case).map_or(String::new(), compared.written)));
        cells.push(or_none(scores.normalised_unit_seconds.map(milliseconds)));
        cells.push(score(scores.combined_score));
        table.row(cells).is_best = Some(id) == data.best;
    }
    table.with_class(0, "name")
}

fn case_of<'s>(scores: &'s Scores, name: &str) -> Option<&'s CaseScore> {
    scores.cases.iter().find(|case| case.case == name)
}
