//! Front: quality against time for every candidate, with the Pareto front and the named candidates.

use crate::search::Outcome;
use crate::values::candidate::CandidateId;
use crate::view::format::{count, milliseconds, or_none, percent, score};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Path, Scale};
use crate::view::report::data::ReportData;
use crate::view::report::page::{Figure, Key, Part, Section, Table};
use crate::view::report::thin::thinned;

/// The figure draws what moves less as this many percent: a logarithmic axis has no 0.
pub const LEAST_MOVED: f64 = 0.01;

pub fn section(data: &ReportData<'_>) -> Section {
    let all = points(data, data.search.candidates().map(|(id, _)| id));
    let parts = if all.len() > 1 { vec![Part::Figure(figure(data, &all))] } else { Vec::new() };
    let title = if data.is_policy() { "Balance against what is moved" } else { "Quality against time" };
    Section { id: "front", title, parts }
}

/// Candidates that were measured in full, each with its place in the figure.
fn points(data: &ReportData<'_>, ids: impl IntoIterator<Item = CandidateId>) -> Vec<(CandidateId, (f64, f64))> {
    let point = |id: CandidateId| {
        let scores = data.scores(id)?;
        if let Some(policy) = &scores.policy {
            return Some((id, ((policy.moved * 100.0).max(LEAST_MOVED), policy.served_balancedness)));
        }
        // As `speed_score` counts time, by which the front is made: the mean of the cases' logarithms.
        Some((id, (10f64.powf(3.0 * scores.speed_score), scores.quality?)))
    };
    ids.into_iter().filter_map(point).collect()
}

fn figure(data: &ReportData<'_>, all: &[(CandidateId, (f64, f64))]) -> Figure {
    let is_leading = |id: CandidateId| data.is_named(id) || data.front.contains(&id);
    let (leading, others): (Vec<_>, Vec<_>) = all.iter().copied().partition(|(id, _)| is_leading(*id));
    let on_axes: Vec<(f64, f64)> = others.iter().map(|(_, (x, y))| (x.log10(), -(1.0001 - y).log10())).collect();
    let shown: Vec<_> = thinned(&on_axes).into_iter().map(|at| others[at]).collect();
    let left_out = others.len() - shown.len();
    let (x, y) = match data.is_policy() {
        true => ("replicas moved, % (less is better)", "balancedness of the window served (more is better)"),
        false => ("times as fast as the baseline (more is better)", "quality (more is better)"),
    };
    let chart = Chart {
        x: Axis::new(x, Scale::Log),
        y: Axis::new(y, Scale::TowardsOne),
        layers: layers(data, shown.iter().map(|(_, at)| *at).collect()),
    };
    let label = "Quality against time of all candidates, with the front and those that have names";
    let mut figure = Figure::new(
        &chart,
        [470, 340],
        label,
        table(data, leading.into_iter().chain(shown).map(|(id, _)| id).collect()),
    );
    figure.keys = vec![
        Key { mark: "◆", class: "k-best", means: "the best".to_owned() },
        Key { mark: "●", class: "k-best", means: "on the front".to_owned() },
        Key { mark: "▲", class: "k-second", means: "the given proposals".to_owned() },
        Key { mark: "○", class: "k-text", means: "the seed program".to_owned() },
        Key { mark: "•", class: "k-many", means: "every other candidate".to_owned() },
    ];
    figure.caption = caption(data, all.len(), left_out);
    figure
}

fn caption(data: &ReportData<'_>, measured: usize, left_out: usize) -> String {
    let tally = data.search.tally();
    let thin = match left_out {
        0 => String::new(),
        left_out => format!(
            " {} outside the front are left out here and in the table, as they would lie on others: the oldest of each \
             cell of a fine grid is drawn.",
            count(left_out, "candidate", "candidates")
        ),
    };
    let bands = data.search.settings().search.pareto_bins;
    let axes = match data.is_policy() {
        true => format!(
            "The front keeps, of policies whose balance won lacks about the same of 1, the one that moves the fewest bytes to \
             the busiest GPU; of policies that plan alike, the one with the highest score. At most {bands} are kept for each \
             tenfold of what is lacking."
        ),
        false => format!(
            "Quality is the share of the baseline's gap that is closed, speed the geometric mean over the cases. \
             The front keeps the fastest of each 1/{bands} of quality."
        ),
    };
    format!(
        "{axes} {} measured in full; {} outclassed early, {} inconsistent and {} \
         rejected are not shown.{thin}",
        count(measured, "candidate was", "candidates were"),
        tally.outclassed,
        hidden(data),
        tally.rejected,
    )
}

/// Inconsistent candidates whose measurement stopped early.
fn hidden(data: &ReportData<'_>) -> usize {
    data.search.candidates().filter(|(_, known)| known.outcome == Some(Outcome::Inconsistent(None))).count()
}

fn layers(data: &ReportData<'_>, others: Vec<(f64, f64)>) -> Vec<Layer> {
    let named = |ids: &[CandidateId]| {
        points(data, ids.iter().copied()).into_iter().map(|(id, at)| (at, data.name(id))).collect()
    };
    let mut front: Vec<_> = points(data, data.front.iter().copied()).into_iter().map(|(_, at)| at).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    vec![
        Layer::Points { ink: Ink::MANY, mark: Mark::Speck, at: others },
        Layer::Line { ink: Ink::BEST, path: Path::Steps, at: front.clone(), name: None },
        Layer::Points { ink: Ink::BEST, mark: Mark::Dot, at: front },
        Layer::Named { ink: Ink::BEST, mark: Mark::Diamond, at: named(data.best.as_slice()) },
        Layer::Named { ink: Ink::TEXT, mark: Mark::Ring, at: named(&[CandidateId::SEED]) },
        Layer::Named { ink: Ink::SECOND, mark: Mark::Triangle, at: named(&data.corpus) },
    ]
}

fn table(data: &ReportData<'_>, mut shown: Vec<CandidateId>) -> Table {
    data.rank(&mut shown);
    let columns = match data.is_policy() {
        true => "candidate|name|on the front|plan, ms#|moved, %#|balance served#|lost, s#|combined#",
        false => "candidate|name|on the front|unit, ms#|gap, mean %#|quality#|speed#|combined#",
    };
    let mut table = Table::new("The candidates of the figure, the highest score first", columns);
    for id in shown {
        let Some(scores) = data.scores(id) else { continue };
        let on_front = if data.front.contains(&id) { "yes" } else { "" };
        let figures = match &scores.policy {
            Some(policy) => {
                [percent(policy.moved), score(policy.served_balancedness), format!("{:.3}", policy.lost.total())]
            }
            None => [
                or_none(data.mean_gap(scores).map(percent)),
                or_none(scores.quality.map(score)),
                score(scores.speed_score),
            ],
        };
        let [first, second, third] = figures;
        let cells = [
            id.to_string(),
            data.marked_name(id),
            on_front.to_owned(),
            or_none(scores.normalised_unit_seconds.map(milliseconds)),
            first,
            second,
            third,
            score(scores.combined_score),
        ];
        table.row(cells).is_best = Some(id) == data.best;
    }
    table.with_class(1, "name")
}
