//! Front: quality against time for every candidate, with the Pareto front and the named candidates.

use crate::values::candidate::CandidateId;
use crate::view::format::{count, milliseconds, or_none, percent, score};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Name, Path, Scale};
use crate::view::report::cast::NamedCandidates;
use crate::view::report::page::{Block, Cell, Figure, Key, Section, Table};
use crate::view::report::thin::thinned;

pub fn section(cast: &NamedCandidates<'_>) -> Section {
    let all: Vec<Plotted> = cast.measured().filter_map(|(id, _)| Plotted::of(cast, id)).collect();
    let blocks = if all.len() > 1 { vec![Block::Figure(figure(cast, &all))] } else { Vec::new() };
    Section { id: "front", title: "Quality against time", blocks }
}

/// A candidate in the figure.
#[derive(Clone, Copy)]
struct Plotted {
    id: CandidateId,
    at: (f64, f64),
}

impl Plotted {
    fn of(cast: &NamedCandidates<'_>, id: CandidateId) -> Option<Self> {
        let scores = cast.scores(id)?;
        // As `speed_score` counts time, by which the front is made: the mean of the cases' logarithms.
        Some(Self { id, at: (10f64.powf(3.0 * scores.speed_score), scores.quality?) })
    }
}

fn figure(cast: &NamedCandidates<'_>, all: &[Plotted]) -> Figure {
    let stays = |place: &&Plotted| cast.is_named(place.id) || cast.front.contains(&place.id);
    let others: Vec<Plotted> = all.iter().filter(|place| !stays(place)).copied().collect();
    let on_axes: Vec<(f64, f64)> =
        others.iter().map(|place| (place.at.0.log10(), -(1.0001 - place.at.1).log10())).collect();
    let shown: Vec<Plotted> = thinned(&on_axes).into_iter().map(|at| others[at]).collect();
    let left_out = others.len() - shown.len();
    let leading: Vec<Plotted> = all.iter().filter(stays).copied().collect();
    let chart = Chart {
        x: Axis::new("times as fast as the baseline (more is better)", Scale::Log),
        y: Axis::new("quality (more is better)", Scale::TowardsOne),
        layers: layers(cast, &shown),
    };
    let label = "Quality against time of all candidates, with the front and those that have names";
    let mut figure = Figure::new(&chart, [470, 340], label, table(cast, leading.into_iter().chain(shown).collect()));
    figure.keys = vec![
        Key { mark: "◆", class: "k-best", means: "the best" },
        Key { mark: "●", class: "k-best", means: "on the front" },
        Key { mark: "▲", class: "k-second", means: "the given proposals" },
        Key { mark: "○", class: "k-text", means: "the seed program" },
        Key { mark: "•", class: "k-many", means: "every other candidate" },
    ];
    figure.caption = caption(cast, all.len(), left_out);
    figure
}

fn caption(cast: &NamedCandidates<'_>, measured: usize, left_out: usize) -> String {
    let tally = cast.search.tally();
    let thin = match left_out {
        0 => String::new(),
        left_out => format!(
            " {} outside the front are left out here and in the table, as they would lie on others: the oldest of each \
             cell of a fine grid is drawn.",
            count(left_out, "candidate", "candidates")
        ),
    };
    let bands = cast.search.settings().search.pareto_bins;
    format!(
        "Quality is the share of the baseline's gap that is closed, speed the geometric mean over the cases. \
         The front keeps the fastest of each 1/{bands} of quality. {} measured in full; {} outclassed early and {} rejected are \
         not shown.{thin}",
        count(measured, "candidate was", "candidates were"),
        tally.outclassed,
        tally.rejected,
    )
}

fn layers(cast: &NamedCandidates<'_>, others: &[Plotted]) -> Vec<Layer> {
    let places = |ids: &[CandidateId]| ids.iter().filter_map(|id| Plotted::of(cast, *id)).collect::<Vec<_>>();
    let named = |ids: &[CandidateId]| -> Vec<((f64, f64), Name)> {
        places(ids).into_iter().map(|place| (place.at, cast.name(place.id))).collect()
    };
    let mut front: Vec<(f64, f64)> = places(&cast.front).into_iter().map(|place| place.at).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    vec![
        Layer::Points { ink: Ink::Many, mark: Mark::Speck, at: others.iter().map(|place| place.at).collect() },
        Layer::Line { ink: Ink::Best, path: Path::Steps, at: front.clone(), name: None },
        Layer::Points { ink: Ink::Best, mark: Mark::Dot, at: front },
        Layer::Named { ink: Ink::Best, mark: Mark::Diamond, at: named(cast.best.as_slice()) },
        Layer::Named { ink: Ink::Text, mark: Mark::Ring, at: named(&[CandidateId::SEED]) },
        Layer::Named { ink: Ink::Second, mark: Mark::Triangle, at: named(&cast.corpus) },
    ]
}

fn table(cast: &NamedCandidates<'_>, mut shown: Vec<Plotted>) -> Table {
    let combined = |place: &Plotted| cast.scores(place.id).map_or(0.0, |scores| scores.combined_score);
    shown.sort_by(|a, b| combined(b).total_cmp(&combined(a)).then(a.id.cmp(&b.id)));
    let columns = ["candidate", "name", "on the front", "unit, ms#", "gap, mean %#", "quality#", "speed#", "combined#"];
    let mut table = Table::new("The candidates of the figure, the highest score first", columns);
    for Plotted { id, .. } in shown {
        let Some(scores) = cast.scores(id) else { continue };
        let on_front = if cast.front.contains(&id) { "yes" } else { "" };
        let name = Cell::name(cast.known(id).name.clone());
        let figures = [
            on_front.to_owned(),
            or_none(scores.normalised_unit_seconds.map(milliseconds)),
            or_none(cast.mean_gap(scores).map(percent)),
            or_none(scores.quality.map(score)),
            score(scores.speed_score),
            score(scores.combined_score),
        ];
        let first = [Cell::from(id.to_string()), name];
        table.row(first.into_iter().chain(figures.map(Cell::from))).is_best = Some(id) == cast.best;
    }
    table
}
