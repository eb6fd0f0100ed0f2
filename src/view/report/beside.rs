//! Beside: programs measured beside the best on chains that the search never saw: balance against what is moved, and lost
//! time.

use crate::view::beside::{Beside, COLUMNS, Kind, Measured};
use crate::view::format::{percent, score};
use crate::view::plot::{Axis, Chart, Ink, Layer, Mark, Name, Path, Scale};
use crate::view::report::data::{LONGEST, ReportData};
use crate::view::report::front::LEAST_MOVED;
use crate::view::report::page::{Figure, Key, Part, Section, Table};
use crate::view::terminal::cut;

pub fn section(data: &ReportData<'_>) -> Section {
    let parts = joined(data.beside).map_or(Vec::new(), |beside| parts(&beside));
    Section { id: "beside", title: "Beside others, on chains never seen", parts }
}

/// The programs of all files, each once. Each file has the best.
fn joined(all: &[Beside]) -> Option<Beside> {
    let (first, others) = all.split_first()?;
    let mut joined = first.clone();
    for program in others.iter().flat_map(|beside| &beside.programs) {
        let is_same =
            |known: &Measured| (known.kind, &known.name, &known.about) == (program.kind, &program.name, &program.about);
        if program.kind != Kind::Best && !joined.programs.iter().any(is_same) {
            joined.programs.push(program.clone());
        }
    }
    Some(joined)
}

fn parts(beside: &Beside) -> Vec<Part> {
    let mut parts = vec![Part::Paragraph(beside.lead()), Part::Table(table(beside))];
    if beside.programs.iter().filter_map(place).count() > 1 {
        parts.push(Part::Figure(figure(beside)));
    }
    parts.extend(beside.parts().into_iter().map(Part::Paragraph));
    parts
}

fn figure(beside: &Beside) -> Figure {
    let chart = Chart {
        x: Axis::new("replicas moved, % (less is better)", Scale::Log),
        y: Axis::new("balancedness of the window served (more is better)", Scale::TowardsOne),
        layers: layers(beside),
    };
    let label =
        "Balance against what is moved: the best of the run, its front, other programs, and the best without its parts";
    let mut figure = Figure::new(&chart, [470, 340], label, places(beside));
    let keys = [
        ("◆", "k-best", Kind::Best, "the best"),
        ("●", "k-best", Kind::Front, "on the front of the run"),
        ("▲", "k-second", Kind::File, "other programs"),
        ("○", "k-text", Kind::Without, "the best without a part"),
    ];
    let is_there = |kind| beside.programs.iter().any(|program| program.kind == kind);
    let keys = keys.into_iter().filter(|(_, _, kind, _)| is_there(*kind));
    figure.keys = keys.map(|(mark, class, _, means)| Key { mark, class, means: means.to_owned() }).collect();
    "Measured after the run, all on the same chains: these figures do not compare with those of the search."
        .clone_into(&mut figure.caption);
    figure
}

fn layers(beside: &Beside) -> Vec<Layer> {
    let of = |kind| beside.programs.iter().filter(move |program| program.kind == kind);
    let named = |kind| of(kind).filter_map(|program| Some((place(program)?, name(program)))).collect();
    let mut front: Vec<(f64, f64)> = of(Kind::Front).chain(of(Kind::Best)).filter_map(place).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    vec![
        Layer::Line { ink: Ink::BEST, path: Path::Steps, at: undominated(&front), name: None },
        Layer::Points { ink: Ink::BEST, mark: Mark::Dot, at: front },
        Layer::Named { ink: Ink::TEXT, mark: Mark::Ring, at: named(Kind::Without) },
        Layer::Named { ink: Ink::SECOND, mark: Mark::Triangle, at: named(Kind::File) },
        Layer::Named { ink: Ink::BEST, mark: Mark::Diamond, at: named(Kind::Best) },
    ]
}

/// Those of points from left to right that are higher than all before.
fn undominated(sorted: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut highest = f64::NEG_INFINITY;
    let is_higher = |(_, y): &&(f64, f64)| {
        let before = highest;
        highest = highest.max(*y);
        *y > before
    };
    sorted.iter().filter(is_higher).copied().collect()
}

fn place(program: &Measured) -> Option<(f64, f64)> {
    let policy = program.policy.as_ref()?;
    Some(((policy.moved * 100.0).max(LEAST_MOVED), policy.served_balancedness))
}

fn name(program: &Measured) -> Name {
    Name::new(cut(&program.label(), LONGEST))
}

fn table(beside: &Beside) -> Table {
    let mut table = Table::new("Lost time on the same chains, the least first", COLUMNS);
    for (program, cells) in beside.rows() {
        table.row(cells).is_best = program.kind == Kind::Best;
    }
    table.with_class(0, "name")
}

/// The numbers of the figure.
fn places(beside: &Beside) -> Table {
    let mut table = Table::new("Where each program is in the figure", "program|moved, %#|balance served#");
    for (program, _) in beside.rows() {
        let Some(policy) = &program.policy else { continue };
        let cells = [program.label(), percent(policy.moved), score(policy.served_balancedness)];
        table.row(cells).is_best = program.kind == Kind::Best;
    }
    table.with_class(0, "name")
}
