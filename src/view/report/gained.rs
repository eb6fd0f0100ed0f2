//! Gained: the result of the run: gaps and times of the best against the seed program, the given proposals and the lower
//! bound.

use packevolve_contract::objective::{CaseScore, Scores};

use crate::values::candidate::CandidateId;
use crate::view::format::{self, milliseconds, or_none, percent, score, time, times};
use crate::view::gain::{CASES, Gain};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Scale};
use crate::view::report::cast::NamedCandidates;
use crate::view::report::page::{Block, Cell, Figure, Key, Section, Table, Tile, arrow};

/// The figure draws smaller gaps as this one: a logarithmic axis has no 0.
const LEAST_GAP: f64 = 1e-5;

pub fn section(cast: &NamedCandidates<'_>) -> Section {
    Section { id: "gained", title: "What was gained", blocks: blocks(cast) }
}

fn blocks(cast: &NamedCandidates<'_>) -> Vec<Block> {
    if cast.search.baseline().is_none() {
        return vec![Block::words("The run has not measured anything yet.")];
    }
    let mut blocks = Vec::new();
    match Gain::of(cast.search).filter(|_| cast.best.is_some()) {
        Some(gain) => {
            blocks.push(Block::words(lead(&gain)));
            blocks.push(Block::Tiles { tiles: tiles(cast, &gain) });
            blocks.push(Block::Table(held_out_table(&gain)));
            blocks.extend(rebalances(&gain).map(Block::Table));
        }
        None => blocks.push(Block::words("The run has not found a better program than the seed program yet.")),
    }
    if cast.best.is_some() || !cast.corpus.is_empty() {
        blocks.push(Block::Figure(figure(cast, &GAPS)));
        blocks.push(Block::Figure(figure(cast, &TIMES)));
    }
    blocks
}

fn lead(gain: &Gain) -> String {
    let Gain { candidate, name, .. } = gain;
    format!("The best program is candidate {candidate}, {name}, compared with the baseline {}.", gain.windows())
}

fn tiles(cast: &NamedCandidates<'_>, gain: &Gain) -> Vec<Tile> {
    let mut tiles = Vec::new();
    if let Some((before, after)) = gain.unit() {
        let note = format!("{} as fast", times(before / after));
        let name = "All packing calls of one rebalance";
        tiles.push(Tile { name, before: time(before), after: time(after), note });
    }
    if let Some((before, after)) = cast.mean_gap(&gain.baseline).zip(cast.mean_gap(&gain.best)) {
        let cases = cast.counting.len();
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

/// The first policy is that of the unit.
fn rebalance_tile(gain: &Gain) -> Option<Tile> {
    let (before, after) = gain.baseline.rebalance.first().zip(gain.best.rebalance.first())?;
    let note = format!(
        "{} as fast; balancedness {:.4} → {:.4}",
        times(after.speedup?),
        before.balancedness,
        after.balancedness
    );
    let name = "A whole rebalance of the experts";
    Some(Tile { name, before: time(before.normalised_seconds), after: time(after.normalised_seconds), note })
}

/// Whole rebalances of both programs; `None` if none was measured.
fn rebalances(gain: &Gain) -> Option<Table> {
    let caption = "Whole rebalances, by the hierarchical policy and the global one";
    let mut table = Table::of(caption, &format::REBALANCE, format::rebalance_rows(&gain.rebalances()));
    for row in &mut table.rows {
        row.is_best = row.cells.last().is_some_and(|program| program.text == "best");
    }
    (!table.rows.is_empty()).then_some(table)
}

/// The best beside the baseline, case by case.
fn held_out_table(gain: &Gain) -> Table {
    let caption = format!("Candidate {} against the baseline, case by case (items→packs)", gain.candidate);
    let mut table = Table::of(caption, &CASES, gain.case_rows());
    table.rows.iter_mut().for_each(|row| row.cells[0].text = arrow(&row.cells[0].text));
    table
}

/// A figure of every case.
struct CaseFigure {
    title: &'static str,
    /// The number that is drawn.
    drawn: fn(&CaseScore) -> f64,
    /// The same as text.
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

fn figure(cast: &NamedCandidates<'_>, compared: &CaseFigure) -> Figure {
    let cases: Vec<String> = cast.search.origin().cases.iter().map(ToString::to_string).collect();
    let row = |case: &str| -(cases.iter().position(|known| known == case).unwrap_or(0) as f64);
    let at = |ids: &[CandidateId]| -> Vec<(f64, f64)> {
        let scores = ids.iter().filter_map(|id| cast.scores(*id));
        scores.flat_map(|scores| &scores.cases).map(|case| ((compared.drawn)(case), row(&case.case))).collect()
    };
    let points = |ink, mark, ids: &[CandidateId]| Layer::Points { ink, mark, at: at(ids) };
    let layers = vec![
        points(Ink::Text, Mark::Ring, &[CandidateId::SEED]),
        points(Ink::Second, Mark::Triangle, &cast.corpus),
        points(Ink::Best, Mark::Diamond, cast.best.as_slice()),
    ];
    let names = cases.iter().map(|case| (row(case), arrow(case))).collect();
    let chart = Chart {
        x: Axis::new(compared.title, Scale::Log),
        y: Axis { names, ..Axis::new("", Scale::Rows).reaching(0.4 - cases.len() as f64, 0.6) },
        layers,
    };
    let height = 64 + 26 * cases.len() as u32;
    let mut figure = Figure::new(&chart, [height, height], compared.label, table(cast, compared, &cases));
    figure.keys = keys(cast);
    figure.caption = compared.caption.to_owned();
    figure
}

fn keys(cast: &NamedCandidates<'_>) -> Vec<Key> {
    let best = Key { mark: "◆", class: "k-best", means: "the best" };
    let given = Key { mark: "▲", class: "k-second", means: "the given proposals" };
    let seed = Key { mark: "○", class: "k-text", means: "the seed program" };
    let is_there = [cast.best.is_some(), !cast.corpus.is_empty(), true];
    [best, given, seed].into_iter().zip(is_there).filter(|(_, is_there)| *is_there).map(|(key, _)| key).collect()
}

fn table(cast: &NamedCandidates<'_>, compared: &CaseFigure, cases: &[String]) -> Table {
    let ends = ["unit, ms#", "combined_score#"].map(str::to_owned);
    let columns =
        ["program".to_owned()].into_iter().chain(cases.iter().map(|case| format!("{}#", arrow(case)))).chain(ends);
    let mut table = Table::new(compared.table, columns);
    if compared.title == GAPS.title {
        let bound = cases.iter().map(|_| percent(0.0));
        table.row(["lower bound".to_owned()].into_iter().chain(bound).chain([String::new(), String::new()]));
    }
    for id in cast.best.into_iter().chain(cast.corpus.iter().copied()).chain([CandidateId::SEED]) {
        let Some(scores) = cast.scores(id) else { continue };
        let mut cells = vec![Cell::name(cast.known(id).name.clone())];
        cells.extend(cases.iter().map(|case| case_of(scores, case).map_or(String::new(), compared.written).into()));
        cells.extend(
            [or_none(scores.normalised_unit_seconds.map(milliseconds)), score(scores.combined_score)].map(Cell::from),
        );
        table.row(cells).is_best = Some(id) == cast.best;
    }
    table
}

fn case_of<'s>(scores: &'s Scores, name: &str) -> Option<&'s CaseScore> {
    scores.cases.iter().find(|case| case.case == name)
}
